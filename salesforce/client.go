package salesforce

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"
)

// Config is how to reach an org. LoginURL and Auth are required.
type Config struct {
	// LoginURL is https://login.salesforce.com, https://test.salesforce.com or the org's My Domain host;
	// http only to a loopback address.
	LoginURL string
	// APIVersion is "auto" (or empty): the newest that the org lists, at most MaxAPIVersion; or a fixed one like "64.0".
	APIVersion string
	Auth       Credentials
	// Timeout bounds each call, default 120 s. Uploads and results of jobs have at least 10 minutes.
	Timeout time.Duration
	// DialContext replaces the network in tests.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS adds to the client's TLS configuration; nil uses the system's roots.
	TLS *tls.Config
	// Logger gets one line a request at DEBUG; nil discards.
	Logger *slog.Logger
	// Version is outboxd's own, told to the org in Sforce-Call-Options.
	Version string
}

// Credentials say how to log in.
type Credentials struct {
	Flow             string // FlowJWT, FlowClientCredentials, FlowRefreshToken
	ClientID         string
	ClientSecret     string
	Username         string // JWT
	Audience         string // JWT; by default the login or test host that LoginURL belongs to
	PrivateKeyPEM    []byte // JWT: RSA, PKCS #1 or PKCS #8, no passphrase
	RefreshToken     string
	SaveRefreshToken func(string) error // called with each rotated refresh token before it is needed; may be nil
}

// Flows of Credentials.
const (
	FlowJWT               = "jwt"
	FlowClientCredentials = "client_credentials"
	FlowRefreshToken      = "refresh_token"
)

// Identity is whom a login made us. OrgID pins the org.
type Identity struct {
	OrgID, UserID ID
	InstanceURL   string
	APIVersion    string // like "66.0"
}

// Client talks to one org. It is safe for concurrent use.
type Client struct{}

// New checks cfg and makes a Client. It makes no call.
func New(cfg Config) (*Client, error) { panic("stub") }
