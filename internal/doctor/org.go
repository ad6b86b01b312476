package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/outboxd/outboxd/config"
	"github.com/outboxd/outboxd/salesforce"
)

// Org is what the doctor needs of Salesforce.
type Org interface {
	Skew(ctx context.Context) (time.Duration, error)
	Login(ctx context.Context) (salesforce.Identity, error)
	Limits(ctx context.Context) (map[string]salesforce.Limit, error)
	Describe(ctx context.Context, object string) (*salesforce.Object, error)
	Query(ctx context.Context, soql string, includeDeleted bool, maxRows int) ([]salesforce.Record, error)
	Close()
}

var _ Org = (*salesforce.Client)(nil)

// org looks at everything on the other side, as far as it gets.
func (r *report) org(ctx context.Context, cfg *config.Config, o Options, d daemon) {
	org, err := o.Org(cfg)
	if err != nil {
		r.wrong("login_invalid", "salesforce.auth", "%v", err)
		return
	}
	defer org.Close()
	if !r.clock(ctx, cfg, org) || !r.login(ctx, cfg, org, d) {
		return
	}
	if !r.limits(ctx, cfg, org) {
		return
	}
	rules := duplicateRules(ctx, org)
	for _, name := range objects(cfg, o.Objects) {
		schema, err := org.Describe(ctx, name)
		switch {
		case salesforce.IsNotFound(err):
			r.wrong("object_missing", name, "the org has no such object, or the integration user may not see it")
		case err != nil:
			r.add(Wrong, "object_unknown", name, remedyOf(err, "object_unknown"), err.Error())
		default:
			r.object(name, cfg.Object(name), schema, rules[strings.ToLower(schema.Name)])
		}
	}
}

// How far the clock may be off. Salesforce takes a JWT whose end is at most three minutes away, and outboxd's end after two.
const (
	skewNoted  = 20 * time.Second
	skewAhead  = time.Minute
	skewBehind = 2 * time.Minute
)

// clock compares the host's with the org's, which needs no login. It reports whether the org can be reached.
func (r *report) clock(ctx context.Context, cfg *config.Config, org Org) bool {
	host := cfg.Salesforce.LoginURL
	skew, err := org.Skew(ctx)
	if err != nil {
		r.wrong("org_unreachable", host, "%v", err)
		return false
	}
	size := skew.Abs().Round(time.Second)
	way := "ahead of"
	if skew < 0 {
		way = "behind"
	}
	jwt := cfg.Salesforce.Auth.Flow == salesforce.FlowJWT
	switch {
	case jwt && (skew > skewAhead || skew < -skewBehind):
		r.wrong("clock_skew", host, "this host's clock is %s %s the org's: assertions of the flow jwt are refused", size, way)
	case size > skewNoted:
		r.warn("clock_skew", host, "this host's clock is %s %s the org's: expires_at and not_before follow it", size, way)
	default:
		r.ok("clock", host, "this host's clock agrees with the org's within %s", skewNoted)
	}
	return true
}

// login reports whether there is a session to ask more with.
func (r *report) login(ctx context.Context, cfg *config.Config, org Org, d daemon) bool {
	who := whoLogsIn(cfg)
	if cfg.Salesforce.Auth.Flow == salesforce.FlowRefreshToken && (d.running || !ownsStore(cfg)) {
		r.warn("login_not_tried", who, "the org may give another refresh token at each login, which the daemon would not know")
		return false
	}
	id, err := org.Login(ctx)
	if err != nil {
		r.loginError(who, cfg, err)
		return false
	}
	r.ok("login", who, "user %s of org %s at %s", id.UserID, id.OrgID, id.InstanceURL)
	r.ok("api_version", id.APIVersion, "served by the org, and known to this release")
	if d.org != "" && d.org != string(id.OrgID) {
		r.wrong("org_changed", string(id.OrgID), "the daemon's store belongs to org %s: nothing is sent", d.org)
	}
	return true
}

// whoLogsIn is the user, as far as the configuration tells.
func whoLogsIn(cfg *config.Config) string {
	return cmp.Or(cfg.Salesforce.Auth.Username, cfg.Salesforce.Auth.Flow)
}

func (r *report) loginError(who string, cfg *config.Config, err error) {
	e, ok := errors.AsType[*salesforce.AuthError](err)
	switch {
	case !ok:
		r.wrong("org_unreachable", cfg.Salesforce.LoginURL, "%v", err)
	case e.Code == "UNSUPPORTED_API_VERSION":
		r.wrong("api_version", cfg.Salesforce.APIVersion, "%s", e.Description)
	case e.Code == salesforce.CodeTransport:
		r.wrong("org_unreachable", cfg.Salesforce.LoginURL, "%v", err)
	default:
		r.add(Wrong, "login_refused", who, e.Remedy(), err.Error())
	}
}

// limits reports whether the org takes further calls.
func (r *report) limits(ctx context.Context, cfg *config.Config, org Org) bool {
	all, err := org.Limits(ctx)
	switch class := salesforce.ClassOf(err); {
	case err == nil:
	case class == salesforce.PauseQuota:
		r.wrong("limits_reached", "limits", "%v", err)
		return false
	case class == salesforce.BadConfig:
		r.warn("limits_hidden", "limits", "%v", err)
		return true
	default:
		r.refused(cfg, err)
		return false
	}
	reserve := int64(cfg.Dispatch.APIBudget.Reserve)
	if calls, ok := all["DailyApiRequests"]; ok && calls.Max > 0 {
		text := fmt.Sprintf("%d of %d calls are left of the last 24 hours; %d%% are kept for others", calls.Remaining, calls.Max, reserve)
		switch part := 100 * calls.Remaining; {
		case part <= reserve*calls.Max:
			r.wrong("api_calls_reserve", "DailyApiRequests", "%s", text)
		case part <= (reserve+10)*calls.Max:
			r.warn("api_calls_low", "DailyApiRequests", "%s", text)
		default:
			r.ok("api_calls", "DailyApiRequests", "%s", text)
		}
	}
	r.exhausted(all, "DailyBulkApiBatches", "bulk_batches", "bulk batches")
	r.exhausted(all, "DataStorageMB", "data_storage", "MB of data storage")
	return true
}

// refused is of a call that says something of the org or the session rather than of what was asked.
func (r *report) refused(cfg *config.Config, err error) {
	e, ok := errors.AsType[*salesforce.APIError](err)
	if !ok || e.Code == salesforce.CodeTransport {
		r.loginError(whoLogsIn(cfg), cfg, err)
		return
	}
	r.add(Wrong, "call_refused", cfg.Salesforce.LoginURL, remedyOf(err, "call_refused"), err.Error())
}

// remedyOf is that of Salesforce's code, where it has one that is known, or else of the finding's.
func remedyOf(err error, code string) string {
	e, ok := errors.AsType[*salesforce.APIError](err)
	if !ok || e.Code == salesforce.CodeTransport {
		return remedies[code]
	}
	c, known := salesforce.Explain(e.Code)
	if !known {
		return remedies[code]
	}
	return c.Remedy
}

// exhausted looks at a limit of which a tenth should be left.
func (r *report) exhausted(all map[string]salesforce.Limit, name, code, what string) {
	l, ok := all[name]
	switch {
	case !ok || l.Max <= 0:
	case l.Remaining <= 0:
		r.wrong(code, name, "none of %d %s is left", l.Max, what)
	case 10*l.Remaining < l.Max:
		r.warn(code, name, "%d of %d %s are left", l.Remaining, l.Max, what)
	default:
		r.ok(code, name, "%d of %d %s are left", l.Remaining, l.Max, what)
	}
}

// duplicateRules names the active rules of each object, by its name in lower case. An org that does not show them has none to warn of.
func duplicateRules(ctx context.Context, org Org) map[string][]string {
	const most = 200
	found, err := org.Query(ctx, "SELECT DeveloperName, SobjectType, IsActive FROM DuplicateRule", false, most)
	if err != nil && !errors.Is(err, salesforce.ErrMoreRows) {
		return nil
	}
	rules := map[string][]string{}
	for _, f := range found {
		var name, object string
		if string(f["IsActive"]) != "true" || json.Unmarshal(f["DeveloperName"], &name) != nil || json.Unmarshal(f["SobjectType"], &object) != nil {
			continue
		}
		object = strings.ToLower(object)
		rules[object] = append(rules[object], name)
	}
	return rules
}
