package simulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The part of SOQL that is understood:
//
//	SELECT field, Parent.Field … | COUNT() FROM Object
//	[WHERE conditions] [ORDER BY field [ASC|DESC] [NULLS FIRST|LAST], …] [LIMIT n] [OFFSET n]
//
// Conditions compare a field by = != <> < <= > >= IN NOT IN with strings,
// numbers, booleans, null, dates and datetimes, joined by AND, OR, NOT and
// parentheses. As in the original AND and OR don't mix without parentheses.
type statement struct {
	text   string
	fields []fieldPath
	count  bool
	from   string
	where  *condition // nil: all
	order  []ordering
	limit  int // -1: none
	offset int
}

// fieldPath is Field or Relationship.Field.
type fieldPath struct {
	relation string
	name     string
	at       int // offset in the text
}

func (p fieldPath) String() string {
	if p.relation == "" {
		return p.name
	}
	return p.relation + "." + p.name
}

type ordering struct {
	path      fieldPath
	down      bool
	nullsLast bool
}

// condition is a comparison, or a connection of others.
type condition struct {
	connect  string // AND, OR, NOT; "" for a comparison
	parts    []*condition
	path     fieldPath
	operator string // = != < <= > >= IN NOTIN
	literals []literal
}

type literalKind int

const (
	literalString literalKind = iota
	literalNumber
	literalBool
	literalNull
	literalDate
	literalDateTime
)

type literal struct {
	kind literalKind
	text string
}

// Bounds of a statement.
const (
	maxStatement = 100_000
	maxString    = 4_000
	maxNesting   = 50
)

// parseSOQL reads a statement.
func parseSOQL(text string) (*statement, *rowError) {
	if len(text) > maxStatement {
		return nil, malformed("SOQL statements cannot be longer than %d characters.", maxStatement)
	}
	tokens, err := lexSOQL(text)
	if err != nil {
		return nil, err
	}
	p := &soqlParser{text: text, tokens: tokens}
	return p.statement()
}

func malformed(format string, args ...any) *rowError {
	return refuse("MALFORMED_QUERY", fmt.Sprintf(format, args...))
}

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenString
	tokenNumber // also dates
	tokenSign
)

type token struct {
	kind tokenKind
	text string // of strings: unescaped
	at   int
}

// lexSOQL splits a statement.
func lexSOQL(text string) ([]token, *rowError) {
	var all []token
	for i := 0; i < len(text); {
		c := text[i]
		start := i
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case c == '\'':
			s, next, err := lexString(text, i)
			if err != nil {
				return nil, err
			}
			all, i = append(all, token{tokenString, s, start}), next
		case isLetter(c):
			for i < len(text) && (isAlphanumeric(text[i]) || text[i] == '_' || text[i] == '.') {
				i++
			}
			all = append(all, token{tokenWord, text[start:i], start})
		case isDigit(c) || (c == '-' || c == '+' || c == '.') && i+1 < len(text) && (isDigit(text[i+1]) || text[i+1] == '.'):
			for i++; i < len(text) && strings.IndexByte("0123456789.:-+TZEe", text[i]) >= 0; {
				i++
			}
			all = append(all, token{tokenNumber, text[start:i], start})
		default:
			sign := lexSign(text[i:])
			if sign == "" {
				return nil, malformed("line 1:%d no viable alternative at character '%c'", i, c)
			}
			i += len(sign)
			all = append(all, token{tokenSign, sign, start})
		}
	}
	return append(all, token{tokenEnd, "<EOF>", len(text)}), nil
}

func isLetter(c byte) bool { return isAlphanumeric(c) && !isDigit(c) }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

func lexSign(s string) string {
	for _, sign := range []string{"!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","} {
		if strings.HasPrefix(s, sign) {
			return sign
		}
	}
	return ""
}

// lexString reads a quoted string from its first quote on.
func lexString(text string, i int) (string, int, *rowError) {
	var b strings.Builder
	for i++; i < len(text); i++ {
		switch c := text[i]; c {
		case '\'':
			if utf8.RuneCountInString(b.String()) > maxString {
				return "", 0, malformed("A string in a WHERE clause can't be longer than %d characters", maxString)
			}
			return b.String(), i + 1, nil
		case '\\':
			size, ok := unescape(&b, text[i+1:])
			if !ok {
				return "", 0, malformed("line 1:%d illegal escape sequence in a string", i)
			}
			i += size
		case '\n', '\r':
			return "", 0, malformed("line 1:%d mismatched character '\\n' expecting '''", i)
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, malformed("line 1:%d mismatched character '<EOF>' expecting '''", len(text))
}

// unescape reads what follows a backslash and tells how long it was.
func unescape(b *strings.Builder, s string) (int, bool) {
	if s == "" {
		return 0, false
	}
	if s[0] == 'u' && len(s) >= 5 {
		n, err := strconv.ParseUint(s[1:5], 16, 16)
		b.WriteRune(rune(n))
		return 5, err == nil
	}
	i := strings.IndexByte(`nrtbfNRTBF"'\`, s[0])
	if i < 0 {
		return 0, false
	}
	b.WriteByte("\n\r\t\b\f\n\r\t\b\f\"'\\"[i])
	return 1, true
}

// soqlParser walks along the tokens.
type soqlParser struct {
	text   string
	tokens []token
	pos    int
	depth  int
}

func (p *soqlParser) peek() token { return p.tokens[p.pos] }

func (p *soqlParser) next() token {
	t := p.tokens[p.pos]
	if t.kind != tokenEnd {
		p.pos++
	}
	return t
}

// accept takes the next token if it is this word or sign.
func (p *soqlParser) accept(text string) bool {
	t := p.peek()
	if t.kind != tokenWord && t.kind != tokenSign || !strings.EqualFold(t.text, text) {
		return false
	}
	p.pos++
	return true
}

func (p *soqlParser) expect(text string) *rowError {
	if p.accept(text) {
		return nil
	}
	return p.unexpected()
}

func (p *soqlParser) unexpected() *rowError {
	t := p.peek()
	return malformed("%s\n%s^\nERROR at Row:1:Column:%d\nunexpected token: '%s'",
		p.text, strings.Repeat(" ", min(t.at, 100)), t.at+1, t.text)
}

func (p *soqlParser) statement() (*statement, *rowError) {
	st := &statement{text: p.text, limit: -1}
	steps := []func(*statement) *rowError{p.selectClause, p.fromClause, p.whereClause, p.orderClause, p.limitClause, p.offsetClause}
	for _, step := range steps {
		if err := step(st); err != nil {
			return nil, err
		}
	}
	if p.peek().kind != tokenEnd {
		return nil, p.unexpected()
	}
	return st, nil
}

func (p *soqlParser) selectClause(st *statement) *rowError {
	if err := p.expect("SELECT"); err != nil {
		return err
	}
	if p.peek().kind == tokenWord && p.tokens[p.pos+1].text == "(" {
		if !p.accept("COUNT") {
			return p.unexpected()
		}
		p.next()
		st.count = true
		return p.expect(")")
	}
	for {
		path, err := p.path()
		if err != nil {
			return err
		}
		st.fields = append(st.fields, path)
		if !p.accept(",") {
			return nil
		}
	}
}

// path reads Field or Relationship.Field.
func (p *soqlParser) path() (fieldPath, *rowError) {
	t := p.peek()
	relation, name, dotted := strings.Cut(t.text, ".")
	if !dotted {
		relation, name = "", t.text
	}
	if t.kind != tokenWord || !isName(name) || dotted && !isName(relation) || isReserved(t.text) {
		return fieldPath{}, p.unexpected()
	}
	p.pos++
	return fieldPath{relation, name, t.at}, nil
}

func isReserved(word string) bool {
	switch strings.ToUpper(word) {
	case "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "ORDER", "LIMIT", "OFFSET", "NULL", "TRUE", "FALSE":
		return true
	default:
		return false
	}
}

func (p *soqlParser) fromClause(st *statement) *rowError {
	if err := p.expect("FROM"); err != nil {
		return err
	}
	path, err := p.path()
	if err == nil && path.relation != "" {
		err = malformed("only objects can be queried: %s", path)
	}
	st.from = path.name
	return err
}

func (p *soqlParser) whereClause(st *statement) *rowError {
	if !p.accept("WHERE") {
		return nil
	}
	var err *rowError
	st.where, err = p.connected()
	return err
}

// connected reads conditions joined by only ANDs or only ORs.
func (p *soqlParser) connected() (*condition, *rowError) {
	if p.depth++; p.depth > maxNesting {
		return nil, malformed("conditions are nested too deeply")
	}
	defer func() { p.depth-- }()
	first, err := p.condition()
	if err != nil {
		return nil, err
	}
	for _, connect := range []string{"AND", "OR"} {
		if !p.accept(connect) {
			continue
		}
		all := &condition{connect: connect, parts: []*condition{first}}
		for {
			part, err := p.condition()
			if err != nil {
				return nil, err
			}
			all.parts = append(all.parts, part)
			if !p.accept(connect) {
				return all, nil
			}
		}
	}
	return first, nil
}

func (p *soqlParser) condition() (*condition, *rowError) {
	switch {
	case p.accept("("):
		inner, err := p.connected()
		if err != nil {
			return nil, err
		}
		return inner, p.expect(")")
	case p.accept("NOT"):
		if p.depth++; p.depth > maxNesting {
			return nil, malformed("conditions are nested too deeply")
		}
		defer func() { p.depth-- }()
		inner, err := p.condition()
		return &condition{connect: "NOT", parts: []*condition{inner}}, err
	default:
		return p.comparison()
	}
}

func (p *soqlParser) comparison() (*condition, *rowError) {
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	c := &condition{path: path}
	switch t := p.peek(); {
	case p.accept("IN"):
		c.operator = "IN"
	case p.accept("NOT"):
		c.operator = "NOTIN"
		if err := p.expect("IN"); err != nil {
			return nil, err
		}
	case t.kind == tokenSign && strings.ContainsAny(t.text, "=<>"):
		p.pos++
		c.operator = strings.Replace(t.text, "<>", "!=", 1)
		lit, err := p.literal()
		c.literals = []literal{lit}
		return c, err
	default:
		return nil, p.unexpected()
	}
	c.literals, err = p.list()
	return c, err
}

func (p *soqlParser) list() ([]literal, *rowError) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var all []literal
	for {
		lit, err := p.literal()
		if err != nil {
			return nil, err
		}
		all = append(all, lit)
		if !p.accept(",") {
			return all, p.expect(")")
		}
	}
}

func (p *soqlParser) literal() (literal, *rowError) {
	t := p.peek()
	lit := literal{text: t.text}
	switch {
	case t.kind == tokenString:
		lit.kind = literalString
	case t.kind == tokenNumber:
		kind, text, ok := numberOrDate(t.text)
		if !ok {
			return lit, p.unexpected()
		}
		lit = literal{kind, text}
	case t.kind == tokenWord && strings.EqualFold(t.text, "null"):
		lit.kind = literalNull
	case t.kind == tokenWord && (strings.EqualFold(t.text, "true") || strings.EqualFold(t.text, "false")):
		lit = literal{literalBool, strings.ToLower(t.text)}
	default:
		return lit, p.unexpected()
	}
	p.pos++
	return lit, nil
}

// numberOrDate brings a bare literal into the stored form of its kind.
func numberOrDate(s string) (literalKind, string, bool) {
	if d, ok := parseDecimal(s); ok {
		return literalNumber, d.String(), true
	}
	if t, err := time.Parse(storedDate, s); err == nil {
		return literalDate, t.Format(storedDate), true
	}
	if t, ok := parseDateTime(s); ok {
		return literalDateTime, formatTime(t), true
	}
	return 0, "", false
}

func (p *soqlParser) orderClause(st *statement) *rowError {
	if !p.accept("ORDER") {
		return nil
	}
	if err := p.expect("BY"); err != nil {
		return err
	}
	for {
		path, err := p.path()
		if err != nil {
			return err
		}
		o := ordering{path: path}
		if !p.accept("ASC") {
			o.down = p.accept("DESC")
		}
		if p.accept("NULLS") {
			if o.nullsLast = p.accept("LAST"); !o.nullsLast && !p.accept("FIRST") {
				return p.unexpected()
			}
		}
		st.order = append(st.order, o)
		if !p.accept(",") {
			return nil
		}
	}
}

func (p *soqlParser) limitClause(st *statement) *rowError {
	return p.number("LIMIT", &st.limit)
}

func (p *soqlParser) offsetClause(st *statement) *rowError {
	return p.number("OFFSET", &st.offset)
}

func (p *soqlParser) number(word string, to *int) *rowError {
	if !p.accept(word) {
		return nil
	}
	n, err := strconv.Atoi(p.peek().text)
	if err != nil || n < 0 {
		return p.unexpected()
	}
	p.pos++
	*to = n
	return nil
}
