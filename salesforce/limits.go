package salesforce

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The API versions that this release was written for: collections upsert needs 46, the rest was tested up to 66.
const (
	minVersion = 46
	maxVersion = 66
	// MaxAPIVersion is the newest version that "auto" chooses.
	MaxAPIVersion = "66.0"
)

// versionNumber reads "64.0". Versions are compared as numbers: "100.0" is newer than "66.0".
func versionNumber(s string) (int, bool) {
	major, found := strings.CutSuffix(s, ".0")
	n, err := strconv.ParseUint(major, 10, 16)
	return int(n), found && err == nil && major[0] != '0'
}

// checkVersion accepts "auto", "" and a version within bounds; "" stands for auto in its answer.
func checkVersion(s string) (string, error) {
	if s == "" || s == "auto" {
		return "", nil
	}
	n, ok := versionNumber(s)
	if !ok || n < minVersion || n > maxVersion {
		return "", fmt.Errorf("api version %q: must be auto, or from %d.0 to %s", s, minVersion, MaxAPIVersion)
	}
	return s, nil
}

type apiVersion struct {
	Version string `json:"version"`
}

// listVersions asks the instance, without the token: the login is not over yet. Its errors are *AuthError.
func (c *Client) listVersions(ctx context.Context, instance string) ([]apiVersion, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	k := &call{name: "versions", method: http.MethodGet}
	r, err := http.NewRequestWithContext(ctx, k.method, instance+"/services/data/", nil)
	if err != nil {
		return nil, &AuthError{Code: CodeTransport, Err: withoutURL(err)}
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", c.agent)
	response, err := c.http.Do(r)
	if err != nil {
		return nil, &AuthError{Code: CodeTransport, Transient: true, Err: withoutURL(err)}
	}
	a, err := readAnswer(k, response, maxAnswer, &grant{})
	if err != nil {
		return nil, &AuthError{Code: CodeTransport, Transient: true, Status: response.StatusCode, Err: err}
	}
	var list []apiVersion
	if a.status != http.StatusOK || !a.isJSON() || json.Unmarshal(a.body, &list) != nil {
		return nil, &AuthError{Code: CodeTransport, Transient: true, Status: a.status, Description: "the instance does not list its API versions"}
	}
	return list, nil
}

// limitInfo is the header in which answers tell of the calls that are used; it is newer than the figures of limits.
const limitInfo = "Sforce-Limit-Info"

// Limit is one of the org's limits. Remaining may be negative where overage is allowed.
type Limit struct{ Max, Remaining int64 }

// Limits asks for the org's limits by name, for example "DailyApiRequests", "DailyBulkApiBatches", "DataStorageMB". It
// costs a call; Usage comes with every answer.
func (c *Client) Limits(ctx context.Context) (map[string]Limit, error) {
	k := &call{name: "limits", kind: CallLimits, method: http.MethodGet, path: "/limits"}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	limits := map[string]Limit{}
	if !a.isJSON() || json.Unmarshal(a.body, &limits) != nil {
		return nil, k.malformed(a, "not a list of limits")
	}
	if l := limits["DailyBulkApiBatches"]; l.Max > 0 {
		c.batches.Store(&Usage{Used: l.Max - l.Remaining, Max: l.Max, At: time.Now()})
	}
	_, _, told := parseLimitInfo(a.header.Values(limitInfo))
	if l := limits["DailyApiRequests"]; l.Max > 0 && !told {
		c.usage.Store(&Usage{Used: l.Max - l.Remaining, Max: l.Max, At: time.Now()})
	}
	return limits, nil
}

// Usage is how much of a daily limit the whole org has used in the last 24 hours, as the org said at a time.
type Usage struct {
	Used, Max int64
	At        time.Time
}

// Batches returns what Limits last said of the batches of bulk jobs: one for every 10,000 records, more than which no
// job of ours has. False if it has not said it yet.
func (c *Client) Batches() (Usage, bool) {
	u := c.batches.Load()
	if u == nil {
		return Usage{}, false
	}
	return *u, true
}

// Usage returns the newest figures, false if no answer has brought any yet.
func (c *Client) Usage() (Usage, bool) {
	u := c.usage.Load()
	if u == nil {
		return Usage{}, false
	}
	return *u, true
}

// parseLimitInfo reads the member api-usage of Sforce-Limit-Info, "api-usage=12034/115000; api-bursts=1/750,
// per-app-api-usage=40/1000(appName=outboxd)". Members are told by their exact names: per-app-api-usage ends in another's.
func parseLimitInfo(values []string) (used, limit int64, ok bool) {
	members := strings.FieldsFunc(strings.Join(values, ";"), func(r rune) bool { return r == ';' || r == ',' })
	for _, m := range members {
		name, value, _ := strings.Cut(m, "=")
		if strings.TrimSpace(name) != "api-usage" {
			continue
		}
		before, after, _ := strings.Cut(value, "/")
		used, err := strconv.ParseInt(strings.TrimSpace(before), 10, 64)
		limit, err2 := strconv.ParseInt(strings.TrimSpace(after), 10, 64)
		if err != nil || err2 != nil || used < 0 || limit <= 0 {
			continue
		}
		return used, limit, true
	}
	return 0, 0, false
}
