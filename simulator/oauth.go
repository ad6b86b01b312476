package simulator

import (
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Lifetimes: of a session that nobody uses, and how far ahead a JWT may
// expire. The documents say three minutes, practice allows five.
const (
	idleTimeout = 2 * time.Hour
	maxJWTAhead = 5*time.Minute + 10*time.Second
)

// authority gives out tokens and knows those that are alive.
type authority struct {
	cfg   Config
	clock *clock
	org   *org

	mu      sync.Mutex
	rng     *rand.Rand
	tokens  map[string]time.Time // access token → last use
	refresh string               // the refresh token that is valid
	busy    bool                 // a refresh is being answered
	jtis    map[string]time.Time // used, until they expire
}

func newAuthority(cfg Config, c *clock, o *org) *authority {
	return &authority{
		cfg: cfg, clock: c, org: o,
		rng:     rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), // not of the seed: no start gives out the tokens of another
		tokens:  make(map[string]time.Time),
		refresh: cfg.RefreshToken,
		jtis:    make(map[string]time.Time),
	}
}

// check wants a live session.
func (a *authority) check(r *request) *answer {
	switch {
	case r.Header.Get("Authorization") != "" && r.token == "":
		return unauthorized("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
	case !a.use(r.token):
		return sessionInvalid()
	default:
		return nil
	}
}

func (a *authority) use(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.now()
	last, ok := a.tokens[token]
	if !ok || now.Sub(last) > idleTimeout {
		delete(a.tokens, token)
		return false
	}
	a.tokens[token] = now
	return true
}

func (a *authority) expire(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.tokens, token)
}

func (a *authority) expireAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.tokens)
}

func sessionInvalid() *answer {
	return unauthorized("INVALID_SESSION_ID", "Session expired or invalid")
}

func unauthorized(code, message string) *answer {
	ans := errorAnswer(http.StatusUnauthorized, code, message)
	ans.header.Set("WWW-Authenticate", "Token")
	return ans
}

func oauthError(code, description string) *answer {
	return valueAnswer(http.StatusBadRequest, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{code, description})
}

// grantToken answers POST /services/oauth2/token.
func grantToken(s *Simulator, r *request) *answer {
	form, err := url.ParseQuery(string(r.body))
	if err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return oauthError("invalid_request", "the body is not a form")
	}
	switch form.Get("grant_type") {
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		return s.auth.grantJWT(r, form)
	case "client_credentials":
		return s.auth.grantClient(r, form)
	case "refresh_token":
		return s.auth.grantRefresh(r, form)
	case "":
		return oauthError("invalid_request", "missing required parameter: grant_type")
	default:
		return oauthError("unsupported_grant_type", "grant type not supported")
	}
}

// client checks id and secret, in the form or as Basic.
func (a *authority) client(r *request, form url.Values) *answer {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		id, _ = url.QueryUnescape(user)
		secret, _ = url.QueryUnescape(password)
	}
	switch {
	case id != a.cfg.ClientID:
		return oauthError("invalid_client_id", "client identifier invalid")
	case secret != a.cfg.ClientSecret:
		return oauthError("invalid_client", "invalid client credentials")
	default:
		return nil
	}
}

func (a *authority) grantClient(r *request, form url.Values) *answer {
	if refusal := a.client(r, form); refusal != nil {
		return refusal
	}
	return a.grant(r, "")
}

// grantRefresh takes one refresh at a time, and where tokens rotate each
// refresh token once.
func (a *authority) grantRefresh(r *request, form url.Values) *answer {
	if refusal := a.client(r, form); refusal != nil {
		return refusal
	}
	a.mu.Lock()
	if a.busy {
		a.mu.Unlock()
		return oauthError("invalid_grant", "token request is already being processed")
	}
	if form.Get("refresh_token") != a.refresh {
		a.mu.Unlock()
		return oauthError("invalid_grant", "expired access/refresh token")
	}
	a.busy = true
	rotated := ""
	if a.cfg.RotateTokens {
		rotated = "5Aep" + a.random(83)
		a.refresh = rotated
	}
	a.mu.Unlock()
	ans := a.grant(r, rotated)
	ans.done = func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.busy = false
	}
	return ans
}

// grant answers with a new access token.
func (a *authority) grant(r *request, refresh string) *answer {
	org := a.org.identity()
	a.mu.Lock()
	defer a.mu.Unlock()
	token := org[:15] + "!AQ" + a.random(94)
	now := a.clock.now()
	a.tokens[token] = now
	base := baseURL(r)
	ans := valueAnswer(http.StatusOK, struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token,omitempty"`
		Signature    string `json:"signature"`
		Scope        string `json:"scope"`
		InstanceURL  string `json:"instance_url"`
		ID           string `json:"id"`
		TokenType    string `json:"token_type"`
		IssuedAt     string `json:"issued_at"`
	}{
		token, refresh, base64.StdEncoding.EncodeToString([]byte(a.random(32))), "api id web refresh_token", base,
		base + "/id/" + org + "/" + a.org.user, "Bearer", strconv.FormatInt(now.UnixMilli(), 10),
	})
	return ans
}

func (a *authority) random(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = base62[a.rng.IntN(len(base62))]
	}
	return string(b)
}

// baseURL is the simulator's address as the client knows it.
func baseURL(r *request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// claims is what the simulator reads of a JWT.
type claims struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	OldSub   string          `json:"prn"`
	Audience string          `json:"aud"`
	Expires  json.RawMessage `json:"exp"`
	ID       string          `json:"jti"`
}

func (a *authority) grantJWT(r *request, form url.Values) *answer {
	if form.Has("scope") {
		return oauthError("invalid_request", "scope parameter not supported")
	}
	c, err := a.verify(form.Get("assertion"))
	if err != nil {
		a.cfg.Logger.Debug("assertion refused", "err", err)
		return oauthError("invalid_grant", "invalid assertion")
	}
	if refusal := a.judge(r, c); refusal != nil {
		return refusal
	}
	return a.grant(r, "")
}

// verify checks the form and the signature of an assertion.
func (a *authority) verify(assertion string) (*claims, error) {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%d parts in place of 3", len(parts))
	}
	var decoded [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", i+1, err)
		}
		decoded[i] = b
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	if err := json.Unmarshal(decoded[0], &header); err != nil || header.Algorithm != "RS256" {
		return nil, fmt.Errorf("algorithm %q is not RS256", header.Algorithm)
	}
	if a.cfg.PublicKey == nil {
		return nil, fmt.Errorf("no public key")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(a.cfg.PublicKey, crypto.SHA256, sum[:], decoded[2]); err != nil {
		return nil, err
	}
	var c claims
	if err := json.Unmarshal(decoded[1], &c); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return &c, nil
}

// judge checks the claims of a genuine assertion.
func (a *authority) judge(r *request, c *claims) *answer {
	now := a.clock.real()
	seconds, err := strconv.ParseInt(strings.Trim(string(c.Expires), `"`), 10, 64)
	ahead := time.Unix(seconds, 0).Sub(now)
	switch subject := cmp.Or(c.Subject, c.OldSub); {
	case c.Issuer != a.cfg.ClientID:
		return oauthError("invalid_client_id", "client identifier invalid")
	case !knownAudience(r, c.Audience):
		return oauthError("invalid_grant", "audience is invalid")
	case err != nil || ahead <= 0 || ahead > maxJWTAhead:
		return oauthError("invalid_grant", "expired authorization code")
	case subject == "" || a.cfg.Username != "" && subject != a.cfg.Username:
		return oauthError("invalid_grant", "user hasn't approved this consumer")
	case !a.fresh(c.ID, now, ahead):
		return oauthError("invalid_grant", "invalid assertion")
	default:
		return nil
	}
}

func knownAudience(r *request, audience string) bool {
	switch audience {
	case "https://login.salesforce.com", "https://test.salesforce.com", baseURL(r):
		return true
	default:
		return false
	}
}

// fresh refuses an id that was used before.
func (a *authority) fresh(jti string, now time.Time, ahead time.Duration) bool {
	if jti == "" {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, until := range a.jtis {
		if until.Before(now) {
			delete(a.jtis, id)
		}
	}
	if _, used := a.jtis[jti]; used {
		return false
	}
	a.jtis[jti] = now.Add(ahead)
	return true
}

// revokeToken answers POST /services/oauth2/revoke.
func revokeToken(s *Simulator, r *request) *answer {
	form, err := url.ParseQuery(string(r.body))
	token := form.Get("token")
	if err != nil || token == "" || !s.auth.use(token) {
		return oauthError("invalid_token", "invalid token")
	}
	s.auth.expire(token)
	return &answer{status: http.StatusOK}
}

// introspectToken answers POST /services/oauth2/introspect.
func introspectToken(s *Simulator, r *request) *answer {
	form, err := url.ParseQuery(string(r.body))
	if err != nil {
		return oauthError("invalid_request", "the body is not a form")
	}
	if refusal := s.auth.client(r, form); refusal != nil {
		return refusal
	}
	a := s.auth
	a.mu.Lock()
	last, ok := a.tokens[form.Get("token")]
	a.mu.Unlock()
	end := last.Add(idleTimeout)
	if !ok || end.Before(a.clock.now()) {
		return valueAnswer(http.StatusOK, map[string]bool{"active": false})
	}
	return valueAnswer(http.StatusOK, map[string]any{
		"active": true, "scope": "api id web", "client_id": a.cfg.ClientID, "username": s.username(),
		"sub": baseURL(r) + "/id/" + a.org.identity() + "/" + a.org.user, "token_type": "access_token", "exp": end.Unix(),
	})
}

func (s *Simulator) username() string { return cmp.Or(s.cfg.Username, "integration@example.com") }

// showUserInfo answers GET /services/oauth2/userinfo.
func showUserInfo(s *Simulator, r *request) *answer {
	org := s.org.identity()
	return valueAnswer(http.StatusOK, map[string]any{
		"sub":                baseURL(r) + "/id/" + org + "/" + s.org.user,
		"user_id":            s.org.user,
		"organization_id":    org,
		"preferred_username": s.username(),
		"nickname":           nickname,
		"name":               displayName,
		"email":              s.username(),
		"email_verified":     true,
		"zoneinfo":           "GMT",
		"active":             true,
		"user_type":          "STANDARD",
		"language":           "en_US",
		"locale":             "en_US",
		"utcOffset":          0,
		"is_app_installed":   true,
		"urls":               userURLs(r, org, s.org.user),
	})
}

// The integration user's names.
const (
	displayName = "Integration User"
	nickname    = "integration"
)

// userURLs are the templates of addresses that identity and userinfo tell;
// the client puts its version in.
func userURLs(r *request, org, user string) map[string]string {
	base := baseURL(r)
	data := base + "/services/data/v{version}/"
	return map[string]string{
		"enterprise": base + "/services/Soap/c/{version}/" + org[:15],
		"partner":    base + "/services/Soap/u/{version}/" + org[:15],
		"metadata":   base + "/services/Soap/m/{version}/" + org[:15],
		"rest":       data,
		"sobjects":   data + "sobjects/",
		"query":      data + "query/",
		"search":     data + "search/",
		"recent":     data + "recent/",
		"profile":    base + "/" + user,
	}
}

// showIdentity answers the id URL of a token. It has its own words for a
// token that is dead, and its own names for what userinfo tells.
func showIdentity(s *Simulator, r *request) *answer {
	if !s.auth.use(r.token) {
		return &answer{
			status: http.StatusForbidden,
			header: http.Header{"Content-Type": {"text/plain"}},
			body:   []byte("Bad_OAuth_Token"),
		}
	}
	org := s.org.identity()
	return valueAnswer(http.StatusOK, map[string]any{
		"id":               baseURL(r) + "/id/" + org + "/" + s.org.user,
		"asserted_user":    true,
		"user_id":          s.org.user,
		"organization_id":  org,
		"username":         s.username(),
		"nick_name":        nickname,
		"display_name":     displayName,
		"email":            s.username(),
		"email_verified":   true,
		"first_name":       nil,
		"last_name":        displayName,
		"timezone":         "GMT",
		"active":           true,
		"user_type":        "STANDARD",
		"language":         "en_US",
		"locale":           "en_US",
		"utcOffset":        0,
		"is_app_installed": true,
		"photos":           map[string]string{"picture": baseURL(r) + "/profilephoto/005/F", "thumbnail": baseURL(r) + "/profilephoto/005/T"},
		"urls":             userURLs(r, org, s.org.user),
	})
}
