package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bounds of the subrequests of one call. Those of which there may be less are
// queries and Collections.
const (
	maxSubrequests = 25
	maxLarge       = 5
)

// subrequest is a request that travels in the body of another.
type subrequest struct {
	method string
	url    string
	header map[string]string
	body   json.RawMessage
}

// carrier is a call that is made of subrequests.
type carrier struct {
	sim    *Simulator
	req    *request
	groups []string // of the kinds of calls that it may carry
	counts bool     // each subrequest is a call for the limits
	alone  bool     // all of them are one transaction
	asked  int
}

// Groups of kinds that the subrequests may be of.
var (
	batchGroups     = []string{"describe", "row", "ext", "query", "limits"}
	compositeGroups = []string{"describe", "row", "ext", "query", "coll"}
	graphGroups     = []string{"row", "ext"}
)

// inherited are the headers that a subrequest has from its carrier, and can't
// have of its own.
var inherited = []string{"Accept", "Authorization", "Content-Type"}

// subrequestFaults are the faults that have an answer, and so one for a
// subrequest alone. The others happen to the whole call.
var subrequestFaults = []string{"status", "html", "limit", "error_after"}

// ask processes a subrequest as if it had come by itself.
func (c *carrier) ask(sub *subrequest) *answer {
	req, refusal := sub.request(c.req)
	if refusal != nil {
		return refusal
	}
	ep, refusal := find(req)
	if refusal != nil {
		return refusal
	}
	if !slices.Contains(c.groups, group(ep.kind)) {
		return errorAnswer(http.StatusBadRequest, "INVALID_INPUT", "The resource "+sub.url+" is not supported in this call") // the code is a guess
	}
	f := c.fault(req, ep)
	if f != nil && f.Do != "error_after" {
		return c.sim.before(req, ep, f)
	}
	req.alone = c.alone
	ans := c.process(req, ep)
	if f != nil {
		return spoilt(ep, f)
	}
	return ans
}

// fault picks what happens to a subrequest.
func (c *carrier) fault(req *request, ep endpoint) *Fault {
	if !c.sim.faults.armed.Load() {
		return nil
	}
	which := call{kind: ep.kind, method: req.method, path: req.URL.Path}
	if ep.object != nil {
		which.object = ep.object(c.sim, req)
	}
	return c.sim.faults.pick(which, subrequestFaults)
}

// process runs a subrequest within the limits. The call that carries it has
// counted as the first.
func (c *carrier) process(req *request, ep endpoint) *answer {
	if refusal := checkVersion(req.version); refusal != nil {
		return refusal
	}
	c.asked++
	if c.counts && c.asked > 1 && !c.sim.calls.spend() {
		return callsExceeded()
	}
	return c.sim.execute(req, ep)
}

// group is the first part of a kind.
func group(kind string) string {
	first, _, _ := strings.Cut(kind, ".")
	return first
}

// request makes a subrequest look as if it had come by itself.
func (sub *subrequest) request(by *request) (*request, *answer) {
	u, err := url.Parse(sub.url)
	if err != nil {
		return nil, errorAnswer(http.StatusBadRequest, "INVALID_INPUT", "The url "+sub.url+" is not valid")
	}
	segments, err := pathSegments(u.EscapedPath())
	if err != nil {
		return nil, errorAnswer(http.StatusBadRequest, "INVALID_INPUT", "The url "+sub.url+" is not valid")
	}
	whole := by.WithContext(by.Context())
	whole.Method, whole.URL, whole.Header = sub.method, u, make(http.Header)
	for _, name := range inherited {
		if v := by.Header.Get(name); v != "" {
			whole.Header.Set(name, v)
		}
	}
	for name, v := range sub.header {
		whole.Header.Set(name, v)
	}
	return &request{
		Request: whole, method: sub.method, segments: segments, query: u.Query(), body: sub.body, token: by.token,
	}, nil
}

// fails reports whether an answer ends what depends on its request.
func (ans *answer) fails() bool {
	return ans.failed || ans.status >= http.StatusMultipleChoices && ans.status != http.StatusNotModified
}

// embedded is an answer's body as a part of a JSON document.
func (ans *answer) embedded() json.RawMessage {
	switch {
	case len(ans.body) == 0:
		return nil
	case json.Valid(ans.body):
		return ans.body
	default:
		return appendQuoted(nil, string(ans.body))
	}
}

// batchItem is a subrequest of a batch.
type batchItem struct {
	Method    string          `json:"method"`
	URL       string          `json:"url"`
	RichInput json.RawMessage `json:"richInput"`
}

// batchResult is what became of a subrequest of a batch.
type batchResult struct {
	StatusCode int             `json:"statusCode"`
	Result     json.RawMessage `json:"result"`
}

// runBatch answers POST /composite/batch.
func runBatch(s *Simulator, r *request) *answer {
	var in struct {
		HaltOnError   bool        `json:"haltOnError"`
		BatchRequests []batchItem `json:"batchRequests"`
	}
	if err := strictJSON(r.body, &in); err != nil {
		return badJSON(err)
	}
	if refusal := checkBatch(in.BatchRequests); refusal != nil {
		return refusal
	}
	c := &carrier{sim: s, req: r, groups: batchGroups, counts: true}
	var out struct {
		HasErrors bool          `json:"hasErrors"`
		Results   []batchResult `json:"results"`
	}
	for _, item := range in.BatchRequests {
		ans := batchHalted()
		if !out.HasErrors || !in.HaltOnError {
			ans = c.ask(&subrequest{method: item.Method, url: batchURL(item.URL), body: item.RichInput})
		}
		out.HasErrors = out.HasErrors || ans.status >= http.StatusBadRequest
		out.Results = append(out.Results, batchResult{ans.status, ans.embedded()})
	}
	return valueAnswer(http.StatusOK, out)
}

// checkBatch wants what must be right before anything is processed.
func checkBatch(items []batchItem) *answer {
	switch {
	case len(items) == 0:
		return errorAnswer(http.StatusBadRequest, "REQUIRED_FIELD_MISSING", "batchRequests is required")
	case len(items) > maxSubrequests:
		return errorAnswer(http.StatusBadRequest, "LIMIT_EXCEEDED", tooManyOperations)
	}
	for _, item := range items {
		if !slices.Contains(subrequestMethods, strings.ToUpper(item.Method)) || item.URL == "" {
			return errorAnswer(http.StatusBadRequest, "INVALID_INPUT", "Invalid method or url in a batch request")
		}
	}
	return nil
}

var subrequestMethods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

var tooManyOperations = "The request can’t contain more than " + strconv.Itoa(maxSubrequests) + " operations."

func batchHalted() *answer {
	return errorAnswer(http.StatusPreconditionFailed, "BATCH_PROCESSING_HALTED", "The batch was stopped since an earlier request of it failed.")
}

// batchURL is the path of a batch's subrequest, which may begin at the version.
func batchURL(text string) string {
	text = strings.TrimPrefix(text, "/")
	return "/services/data/" + strings.TrimPrefix(text, "services/data/")
}

// listComposites answers GET /composite.
func listComposites(_ *Simulator, r *request) *answer {
	base := versionPath(r.version) + "/composite"
	return valueAnswer(http.StatusOK, map[string]string{
		"batch": base + "/batch", "graph": base + "/graph", "sobjects": base + "/sobjects", "tree": base + "/tree",
	})
}

// compositeItem is a subrequest of a composite call.
type compositeItem struct {
	Method      string            `json:"method"`
	URL         string            `json:"url"`
	HTTPHeaders map[string]string `json:"httpHeaders"`
	ReferenceID string            `json:"referenceId"`
	Body        json.RawMessage   `json:"body"`
}

// compositeResult is what became of a subrequest of a composite call.
type compositeResult struct {
	Body           json.RawMessage   `json:"body"`
	HTTPHeaders    map[string]string `json:"httpHeaders"`
	HTTPStatusCode int               `json:"httpStatusCode"`
	ReferenceID    *string           `json:"referenceId"`
}

// composed is the body of a composite answer.
type composed struct {
	CompositeResponse []compositeResult `json:"compositeResponse"`
}

// runComposite answers POST /composite. Subrequests run in their order, as the
// order in which unrelated ones are collated is not told.
func runComposite(s *Simulator, r *request) *answer {
	var in struct {
		AllOrNone          bool            `json:"allOrNone"`
		CollateSubrequests bool            `json:"collateSubrequests"`
		CompositeRequest   []compositeItem `json:"compositeRequest"`
	}
	if err := strictJSON(r.body, &in); err != nil {
		return badJSON(err)
	}
	if len(in.CompositeRequest) > maxSubrequests {
		return valueAnswer(http.StatusOK, composed{[]compositeResult{
			resultOf(nil, errorAnswer(http.StatusBadRequest, "LIMIT_EXCEEDED", tooManyOperations)),
		}})
	}
	if refusal := checkComposite(r, in.CompositeRequest); refusal != nil {
		return refusal
	}
	run := &series{carrier: carrier{sim: s, req: r, groups: compositeGroups}, items: in.CompositeRequest}
	if in.AllOrNone {
		run.whole()
	} else {
		run.each()
	}
	return valueAnswer(http.StatusOK, composed{run.results})
}

// checkComposite wants what must be right before anything is processed.
func checkComposite(r *request, items []compositeItem) *answer {
	if len(items) == 0 {
		return errorAnswer(http.StatusBadRequest, "REQUIRED_FIELD_MISSING", "compositeRequest is required")
	}
	large := 0
	for _, item := range items {
		if item.large() {
			large++
		}
	}
	if large > maxLarge {
		return exceeded(maxLarge, "queries and sObject Collections")
	}
	return checkItems(r, items)
}

var largePath = regexp.MustCompile(`^/services/data/v[\d.]+/(query|queryAll|composite/sobjects)\b`)

func (item *compositeItem) large() bool { return largePath.MatchString(item.URL) }

var goodReferenceID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_]*$`)

// checkItems looks at each subrequest. The codes are guesses, that the whole
// call is refused is documented.
func checkItems(r *request, items []compositeItem) *answer {
	seen := make(map[string]bool, len(items))
	for _, item := range items {
		id := item.ReferenceID
		switch {
		case id == "" || r.version >= sinceStrictReferences && !goodReferenceID.MatchString(id):
			return errorAnswer(http.StatusBadRequest, "JSON_PARSER_ERROR", "Provided referenceId ('"+id+"') "+referenceIDRule)
		case seen[id]:
			return errorAnswer(http.StatusBadRequest, "JSON_PARSER_ERROR", "Duplicate ReferenceId found: "+id)
		case !slices.Contains(subrequestMethods, item.Method):
			return errorAnswer(http.StatusBadRequest, "JSON_PARSER_ERROR", "Invalid method '"+item.Method+"' of "+id)
		case !strings.HasPrefix(item.URL, "/services/data/v"):
			return errorAnswer(http.StatusBadRequest, "JSON_PARSER_ERROR", "The url of "+id+" must start with /services/data/vXX.X/")
		}
		for name := range item.HTTPHeaders {
			if slices.Contains(inherited, http.CanonicalHeaderKey(name)) {
				return errorAnswer(http.StatusBadRequest, "JSON_PARSER_ERROR", "The header "+name+" can't be set for a subrequest")
			}
		}
		seen[id] = true
	}
	return nil
}

const referenceIDRule = "must start with a letter or a number, and it can contain only letters, numbers and underscores ('_')."

// series is subrequests that may refer to the answers of earlier ones.
type series struct {
	carrier
	items   []compositeItem
	results []compositeResult
	known   answers
}

// each runs every subrequest by itself.
func (run *series) each() {
	for i := range run.items {
		run.next(&run.items[i])
	}
}

// whole runs the subrequests as one transaction, and reports false when it was
// rolled back: then only the one that failed tells why.
func (run *series) whole() bool {
	run.alone = true
	return run.sim.org.alone(func() bool {
		for i := range run.items {
			if run.next(&run.items[i]) {
				run.halt(i)
				return false
			}
		}
		return true
	})
}

// next runs a subrequest, and reports whether it failed.
func (run *series) next(item *compositeItem) bool {
	ans := run.answer(item)
	run.results = append(run.results, resultOf(&item.ReferenceID, ans))
	if ans.fails() {
		return true
	}
	run.known.keep(item.ReferenceID, ans)
	return false
}

func (run *series) answer(item *compositeItem) *answer {
	nulls := run.req.version >= sinceStrictReferences
	path, refusal := run.known.fillURL(item.URL)
	if refusal != nil {
		return refusal
	}
	body, refusal := run.known.fillBody(item.Body, nulls)
	if refusal != nil {
		return refusal
	}
	return run.ask(&subrequest{method: item.Method, url: path, header: item.HTTPHeaders, body: body})
}

// halt gives all but the one that failed the result of a transaction that was
// rolled back.
func (run *series) halt(culprit int) {
	why := run.results[culprit]
	run.results = nil
	for i := range run.items {
		if i == culprit {
			run.results = append(run.results, why)
			continue
		}
		run.results = append(run.results, resultOf(&run.items[i].ReferenceID, rolledBack()))
	}
}

func halted(message string) *answer {
	return errorAnswer(http.StatusBadRequest, "PROCESSING_HALTED", message)
}

func rolledBack() *answer {
	return halted("The transaction was rolled back since another operation in the same transaction failed.")
}

func resultOf(referenceID *string, ans *answer) compositeResult {
	headers := make(map[string]string)
	for _, name := range []string{"Location", "ETag", "Last-Modified"} {
		if v := ans.header.Get(name); v != "" {
			headers[name] = v
		}
	}
	return compositeResult{ans.embedded(), headers, ans.status, referenceID}
}
