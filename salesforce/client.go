package salesforce

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultTimeout = 120 * time.Second
	// Uploads of up to 100 MB and results of thousands of rows take their time on a slow line.
	minBulkTimeout = 10 * time.Minute
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
	// DialContext replaces the network in tests; without it HTTPS_PROXY is honoured.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is the client's TLS configuration; nil uses the system's roots. TLS 1.2 is the least in any case.
	TLS *tls.Config
	// Logger gets one line a request at DEBUG; nil discards. Neither tokens nor values are logged.
	Logger *slog.Logger
	// Version is outboxd's own, told to the org in Sforce-Call-Options.
	Version string
}

// Credentials say how to log in.
type Credentials struct {
	Flow          string // FlowJWT, FlowClientCredentials or FlowRefreshToken
	ClientID      string
	ClientSecret  string
	Username      string // JWT
	Audience      string // JWT; by default the login or test host that LoginURL belongs to
	PrivateKeyPEM []byte // JWT: RSA, PKCS #1 or PKCS #8, no passphrase
	RefreshToken  string
	// SaveRefreshToken gets each rotated refresh token: the one before is dead. It must not call the Client; may be nil.
	SaveRefreshToken func(string) error
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
	InstanceURL   string // scheme and host, no slash at the end
	APIVersion    string // like "66.0"
}

// Client talks to one org. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	auth    *authenticator
	login   *url.URL
	tokens  *tokenSource
	version string // configured, or "" for the newest
	timeout time.Duration
	agent   string
	log     *slog.Logger

	usage      atomic.Pointer[Usage]
	batches    atomic.Pointer[Usage]
	calls      tally
	warned     sync.Once
	onIdentity atomic.Pointer[func(Identity) error]
	describes  describeCache
}

// New checks cfg and makes a Client. It makes no call.
func New(cfg Config) (*Client, error) {
	login, err := checkLogin(cfg.LoginURL)
	if err != nil {
		return nil, err
	}
	version, err := checkVersion(cfg.APIVersion)
	if err != nil {
		return nil, err
	}
	c := &Client{
		login:   login,
		version: version,
		timeout: cfg.Timeout,
		agent:   "outboxd/" + headerSafe(cfg.Version),
		log:     cfg.Logger,
	}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	transport := newTransport(cfg)
	if c.auth, err = newAuthenticator(cfg, login, transport, c.log); err != nil {
		return nil, err
	}
	// No cookie jar; and no redirects: the client would turn a PATCH into a GET and hand the token on.
	c.http = &http.Client{Transport: transport, CheckRedirect: refuseRedirect}
	c.tokens = &tokenSource{login: c.logIn}
	return c, nil
}

// headerSafe keeps what may stand in a header.
func headerSafe(s string) string {
	s = strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && r != ',' && r != ';' {
			return r
		}
		return -1
	}, s)
	if s == "" {
		return "dev"
	}
	return s
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// OnIdentity sets the function that is called with each new login before its token is used for any call. Its error
// refuses the token: the call that needed it fails with an *AuthError that wraps the error. It must not call the Client.
func (c *Client) OnIdentity(check func(Identity) error) { c.onIdentity.Store(&check) }

// Login logs in unless a token is in use, and tells whom the token makes us. Its errors are *AuthError.
func (c *Client) Login(ctx context.Context) (Identity, error) {
	g, err := c.tokens.get(ctx)
	if err != nil {
		return Identity{}, err
	}
	return g.identity, nil
}

// logIn makes a grant: token, place, org, version, and the owner's consent.
func (c *Client) logIn(ctx context.Context) (*grant, error) {
	token, err := c.auth.token(ctx)
	if err != nil {
		return nil, err
	}
	raw, _ := token.Extra("instance_url").(string)
	instance, err := checkInstance(raw, c.login)
	if err != nil {
		return nil, &AuthError{Code: "INVALID_INSTANCE_URL", Description: err.Error()}
	}
	raw, _ = token.Extra("id").(string)
	org, user, err := parseIdentityURL(raw)
	if err != nil {
		return nil, &AuthError{Code: "INVALID_IDENTITY", Description: err.Error()}
	}
	version, err := c.chooseVersion(ctx, instance)
	if err != nil {
		return nil, err
	}
	g := &grant{token: token.AccessToken, identity: Identity{OrgID: org, UserID: user, InstanceURL: instance, APIVersion: version}}
	if check := c.onIdentity.Load(); check != nil {
		if err := (*check)(g.identity); err != nil {
			return nil, &AuthError{Code: "IDENTITY_REFUSED", Err: err}
		}
	}
	c.describes.forOrg(org)
	c.log.Info("logged in", "org", string(org), "instance", instance, "api_version", version)
	return g, nil
}

// Probe makes a cheap authenticated call, to find out whether the org takes calls again. An org that refuses
// just this call to this user does.
func (c *Client) Probe(ctx context.Context) error {
	_, err := c.Limits(ctx)
	if e, ok := errors.AsType[*APIError](err); ok && e.own && (e.Class == BadConfig || e.Class == Permanent) {
		return nil
	}
	return err
}

// chooseVersion picks the API version that both sides know. The list needs no login and costs no call.
func (c *Client) chooseVersion(ctx context.Context, instance string) (string, error) {
	listed, err := c.listVersions(ctx, instance)
	if err != nil {
		return "", err
	}
	best := 0
	for _, v := range listed {
		n, ok := versionNumber(v.Version)
		switch {
		case !ok || n < minVersion || n > maxVersion:
		case c.version != "" && v.Version == c.version:
			return v.Version, nil
		case n > best:
			best = n
		}
	}
	if c.version != "" {
		return "", &AuthError{Code: "UNSUPPORTED_API_VERSION", Description: fmt.Sprintf("the org does not list version %s", c.version)}
	}
	if best == 0 {
		return "", &AuthError{Code: "UNSUPPORTED_API_VERSION", Description: fmt.Sprintf("the org lists no version from %d.0 to %d.0", minVersion, maxVersion)}
	}
	return fmt.Sprintf("%d.0", best), nil
}
