package config

import (
	"strings"
	"time"
)

// Config is the configuration in force. The comments of its fields are the
// text of docs/configuration.md.
type Config struct {
	// The org that events are delivered to. Left out as a whole, outboxd accepts
	// events and stays paused (`not_configured`).
	Salesforce *Salesforce `yaml:"salesforce"`
	// The outbox on disk.
	Store Store `yaml:"store"`
	// Where apps write their events.
	Socket Socket `yaml:"socket"`
	// Who may do what. An entry is a user, a group as `@name`, or `*` for
	// everybody whom the socket's mode lets in. Root and the daemon's own user may
	// do all.
	Access Access `yaml:"access"`
	// What one greedy app can take from the others.
	Limits Limits `yaml:"limits"`
	// An HTTP listener for monitoring.
	HTTP HTTP `yaml:"http"`
	// What to do with an event that does not fit what the org says of its objects. `warn` notes it on
	// the event and sends it; `reject` refuses it with 422 `schema_mismatch` at the socket, or fails it with `INVALID` before
	// it is sent where the org's word came too late for that; `off` does not look.
	Validate string `yaml:"validate" oneof:"off warn reject"`
	// When an event counts as stuck.
	Stuck Stuck `yaml:"stuck"`
	// How events travel.
	Dispatch Dispatch `yaml:"dispatch"`
	// What is particular to an object, by its API name; letter case makes no
	// difference. An object that is not named here has the defaults.
	Objects map[string]Object `yaml:"objects"`
}

// Salesforce says where the org is and how to log in.
type Salesforce struct {
	// The login host, `https://test.salesforce.com` for a sandbox, or the org's own
	// domain. `http` is taken for a loopback address only, such as the simulator's.
	LoginURL string `yaml:"login_url"`
	// The version of the API, such as `64.0`, at least 46.0 and at most 66.0; `auto` is the newest
	// that both the org and this release know.
	APIVersion string `yaml:"api_version"`
	// The login.
	Auth Auth `yaml:"auth"`
}

// Auth is one OAuth flow and what it needs.
type Auth struct {
	// The OAuth flow. `jwt` needs `client_id`, `username` and a private key;
	// `client_credentials` needs `client_id` and a client secret; `refresh_token` needs
	// `client_id` and a refresh token, and a client secret where the app demands it.
	Flow string `yaml:"flow" oneof:"jwt client_credentials refresh_token"`
	// The consumer key of the external client app, or connected app.
	ClientID string `yaml:"client_id"`
	// The user whom the flow `jwt` logs in.
	Username string `yaml:"username"`
	// The audience of the JWT: by default the login or test host that `login_url`
	// belongs to, for a loopback address `login_url` itself.
	Audience string `yaml:"audience"`
	// The RSA key that signs the JWT, as PEM.
	PrivateKey Secret `yaml:"private_key"`
	// The file that holds `private_key`.
	PrivateKeyFile string `yaml:"private_key_file"`
	// The consumer secret of the external client app, or connected app.
	ClientSecret Secret `yaml:"client_secret"`
	// The file that holds `client_secret`.
	ClientSecretFile string `yaml:"client_secret_file"`
	// The refresh token to begin with. One that the org gives instead is kept
	// beside the store, readable by the daemon only, and is in no backup.
	RefreshToken Secret `yaml:"refresh_token"`
	// The file that holds `refresh_token`.
	RefreshTokenFile string `yaml:"refresh_token_file"`
}

// Store is the outbox on disk.
type Store struct {
	// The database file; a relative path begins in the folder where the daemon is started. Its folder also holds the
	// lock file and the ballast.
	Path string `yaml:"path"`
	// The file is never longer than this. When it is full, new events are refused
	// with 507 and nothing that was accepted is lost.
	MaxSize Size `yaml:"max_size" min:"8MiB"`
	// How long the receipt of a finished event is kept, and so a repeat of its key recognised.
	DedupWindow time.Duration `yaml:"dedup_window" min:"1s"`
	// Open a store on a network file system, though locks and syncs can't be trusted there.
	AllowNetworkFS bool `yaml:"allow_network_fs"`
}

// Socket is the Unix socket of the API.
type Socket struct {
	// The socket; at most 107 bytes.
	Path string `yaml:"path"`
	// Its permissions, in octal.
	Mode Mode `yaml:"mode"`
	// The group that owns it; empty: the daemon's own.
	Group string `yaml:"group"`
}

// Access lists who may do what.
type Access struct {
	// Who may write events, and ask for their state.
	Write []string `yaml:"write"`
	// Who may read payloads.
	Read []string `yaml:"read"`
	// Who may retry, drop and resolve events, pause and resume, and take backups.
	Operate []string `yaml:"operate"`
}

// Limits bound what one app can take.
type Limits struct {
	// Events a second of one source; 0: no limit.
	Rate int `yaml:"rate" min:"0"`
	// The part of `max_size` that one source may fill.
	Share Percent `yaml:"share" min:"1%" max:"100%"`
	// Open connections of one user.
	Connections int `yaml:"connections" min:"1"`
}

// HTTP is the listener for monitoring.
type HTTP struct {
	// The address of `/metrics`, `/healthz` and `/readyz`, such as
	// `127.0.0.1:9464`; empty: none. The same paths are on the socket in any case.
	Listen string `yaml:"listen"`
}

// Stuck says when an event counts as stuck.
type Stuck struct {
	// How long after it was due a pending event is overdue. Time in which sending
	// was paused does not count.
	OverdueAfter time.Duration `yaml:"overdue_after" min:"1s"`
}

// Dispatch says how events travel.
type Dispatch struct {
	// Bulk API 2.0 jobs.
	Bulk Bulk `yaml:"bulk"`
	// REST requests.
	REST REST `yaml:"rest"`
	// Backoff of events, and of the probes after which a paused dispatcher goes on.
	Retry Retry `yaml:"retry"`
	// The org's daily API requests.
	APIBudget APIBudget `yaml:"api_budget"`
}

// Bulk is about jobs.
type Bulk struct {
	// So many events that wait for one object and operation go by a job, fewer by REST.
	MinRecords int `yaml:"min_records" min:"1"`
	// The most events in a job.
	MaxRecords int `yaml:"max_records" min:"1" max:"10000"`
	// How long an event that only a job may carry waits for company.
	MaxWait time.Duration `yaml:"max_wait" min:"0s"`
	// Jobs that the org works on at the same time. While it does, as many more are made ready, up to the upload, and the results of as many are read.
	MaxJobs int `yaml:"max_jobs" min:"1" max:"100"`
	// The pauses between two looks at a running job: the first and the longest. When jobs of its object, operation and size have run before, the first look comes when most of those had ended, earlier than the first pause or later, but never later than the longest.
	Poll Range `yaml:"poll" min:"10ms" max:"1h"`
}

// REST is about requests.
type REST struct {
	// The most events in a request.
	MaxRecords int `yaml:"max_records" min:"1" max:"200"`
	// Requests at the same time.
	Concurrency int `yaml:"concurrency" min:"1" max:"100"`
	// How long an answer is waited for.
	Timeout time.Duration `yaml:"timeout" min:"1ms"`
	// How long the org may still be working on a request that got no answer. Until
	// then no later event of the same record is sent. Salesforce ends a request
	// after 10 minutes; do not go below that but for tests.
	LateWindow time.Duration `yaml:"late_window" min:"0s"`
}

// Retry is about backoff.
type Retry struct {
	// The first pause; each one after it is up to twice as long, at random.
	Initial time.Duration `yaml:"initial" min:"1ms"`
	// The longest pause.
	Max time.Duration `yaml:"max" min:"1ms"`
	// After so many attempts an event is failed; 0: no limit.
	MaxAttempts int `yaml:"max_attempts" min:"0"`
	// An event that could not be delivered for so long is failed; 0: no limit. Time in
	// which sending was paused does not count.
	MaxAge time.Duration `yaml:"max_age" min:"0s"`
}

// APIBudget is about the org's daily API requests.
type APIBudget struct {
	// The part of them, and of the bulk batches, that is left for others. Half of what remains may be used at once, then calls
	// are spread over the day.
	Reserve Percent `yaml:"reserve" min:"0%" max:"100%"`
}

// Object is what is particular to an object.
type Object struct {
	// A text field of the object that takes the idempotency key of a create. It
	// has to be an external id, unique and case-sensitive, and makes creates exactly once
	// by REST and by job alike. Recommended.
	KeyField string `yaml:"key_field"`
	// What a failed or doubtful event does to those behind it in its lane: `block`
	// holds them back until an operator decides, `skip` lets them pass.
	OnFailure string `yaml:"on_failure" oneof:"block skip"`
	// How creates without `key_field` go: `bulk` makes them exactly once; `rest` is faster,
	// and an ambiguous answer leaves the event in doubt.
	CreateVia string `yaml:"create_via" oneof:"bulk rest"`
	// Save records in spite of duplicate rules that only alert. By REST only, so
	// creates need `key_field`, or `create_via: rest`. Absent: the org decides.
	AllowSave *bool `yaml:"allow_save"`
	// Let assignment rules run. By REST only, as for `allow_save`. Absent: the org decides.
	AutoAssign *bool `yaml:"auto_assign"`
}

// Default is the configuration of an empty file.
func Default() *Config {
	return &Config{
		Store: Store{
			Path:        "/var/lib/outboxd/outbox.db",
			MaxSize:     10 << 30,
			DedupWindow: 7 * 24 * time.Hour,
		},
		Socket:   Socket{Path: "/run/outboxd/outboxd.sock", Mode: 0o660, Group: "outboxd"},
		Access:   Access{Write: []string{"*"}, Read: []string{}, Operate: []string{}},
		Limits:   Limits{Share: 100, Connections: 16384},
		Stuck:    Stuck{OverdueAfter: time.Hour},
		Validate: "warn",
		Dispatch: Dispatch{
			Bulk: Bulk{
				MinRecords: 1000, MaxRecords: 1000, MaxWait: 30 * time.Second, MaxJobs: 4,
				Poll: Range{Min: time.Second, Max: 30 * time.Second},
			},
			REST:      REST{MaxRecords: 200, Concurrency: 4, Timeout: 120 * time.Second, LateWindow: 11 * time.Minute},
			Retry:     Retry{Initial: time.Second, Max: 10 * time.Minute, MaxAge: 72 * time.Hour},
			APIBudget: APIBudget{Reserve: 20},
		},
		Objects: map[string]Object{},
	}
}

// defaults of what is made while reading.
func (s *Salesforce) defaults() {
	*s = Salesforce{LoginURL: "https://login.salesforce.com", APIVersion: "auto", Auth: Auth{Flow: "jwt"}}
}

func (o *Object) defaults() { *o = Object{OnFailure: "block", CreateVia: "bulk"} }

// Object returns what holds for an object, whatever the letter case of its name.
func (c *Config) Object(name string) Object {
	for n, o := range c.Objects {
		if strings.EqualFold(n, name) {
			return o
		}
	}
	var o Object
	o.defaults()
	return o
}
