package salesforce

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"
)

const (
	loginTimeout = 60 * time.Second
	// Salesforce takes an assertion whose end is within three minutes; one less leaves room for a clock that is off.
	assertionLife = 2 * time.Minute
)

// authenticator runs one of the OAuth flows. It does so once a call of token, without a cache of its own.
type authenticator struct {
	credentials Credentials
	login       *url.URL
	transport   http.RoundTripper
	log         *slog.Logger

	mu      sync.Mutex // guards refresh
	refresh string     // the refresh token in use: with rotation each login brings the next one
}

func newAuthenticator(cfg Config, login *url.URL, transport http.RoundTripper, log *slog.Logger) (*authenticator, error) {
	c := cfg.Auth
	if c.ClientID == "" {
		return nil, errors.New("client id: required")
	}
	switch c.Flow {
	case FlowJWT:
		if c.Username == "" {
			return nil, errors.New("username: required for the flow jwt")
		}
		if err := checkRSAKey(c.PrivateKeyPEM); err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		if c.Audience == "" {
			c.Audience = audienceOf(login)
		}
	case FlowClientCredentials:
		if c.ClientSecret == "" {
			return nil, errors.New("client secret: required for the flow client_credentials")
		}
	case FlowRefreshToken:
		if c.RefreshToken == "" {
			return nil, errors.New("refresh token: required for the flow refresh_token")
		}
	default:
		return nil, fmt.Errorf("flow %q: must be %s, %s or %s", c.Flow, FlowJWT, FlowClientCredentials, FlowRefreshToken)
	}
	return &authenticator{credentials: c, login: login, transport: transport, log: log, refresh: c.RefreshToken}, nil
}

// checkRSAKey finds out at the start what x/oauth2/jwt would tell at the first login.
func checkRSAKey(text []byte) error {
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("no PEM block found")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if _, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return errors.New("neither PKCS #1 nor PKCS #8, or protected by a passphrase")
		}
		return nil
	}
	if _, ok := key.(*rsa.PrivateKey); !ok {
		return errors.New("not an RSA key")
	}
	return nil
}

// audienceOf is what a JWT names as its audience: it does not follow the host that it is posted to, only which of
// the two worlds that host belongs to.
func audienceOf(login *url.URL) string {
	host := strings.ToLower(login.Hostname())
	if isLoopback(host) {
		return login.Scheme + "://" + login.Host
	}
	for _, mark := range []string{".sandbox.", ".scratch.", "--"} {
		if strings.Contains(host, mark) {
			return "https://test.salesforce.com"
		}
	}
	if host == "test.salesforce.com" {
		return "https://test.salesforce.com"
	}
	return "https://login.salesforce.com"
}

// token runs the flow once. Its errors are *AuthError.
func (a *authenticator) token(ctx context.Context) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	trip := &loginTrip{ctx: ctx, base: a.transport}
	client := &http.Client{Transport: trip, CheckRedirect: refuseRedirect}
	token, err := a.run(context.WithValue(ctx, oauth2.HTTPClient, client))
	switch {
	case err != nil:
		return nil, a.discreet(loginError(ctx, err, trip.err))
	case token.AccessToken == "":
		code, _ := token.Extra("error").(string)
		description, _ := token.Extra("error_description").(string)
		return nil, a.discreet(newAuthError(http.StatusOK, code, description))
	}
	return token, nil
}

// discreet takes out of an error what an answer may have repeated of the request.
func (a *authenticator) discreet(e *AuthError) *AuthError {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, secret := range []string{a.credentials.ClientSecret, a.refresh} {
		if secret == "" {
			continue
		}
		e.Code, e.Description = strings.ReplaceAll(e.Code, secret, "***"), strings.ReplaceAll(e.Description, secret, "***")
		if inner, ok := errors.AsType[*APIError](e.Err); ok {
			inner.Code, inner.Message = strings.ReplaceAll(inner.Code, secret, "***"), strings.ReplaceAll(inner.Message, secret, "***")
		}
	}
	return e
}

// run starts the flow that is configured, each with an explicit AuthStyle: by default the package tries
// both on any error, which doubles failing logins.
func (a *authenticator) run(ctx context.Context) (*oauth2.Token, error) {
	c := a.credentials
	endpoint := a.login.Scheme + "://" + a.login.Host + "/services/oauth2/token"
	switch c.Flow {
	case FlowJWT:
		conf := jwt.Config{
			Email:      c.ClientID,
			PrivateKey: c.PrivateKeyPEM,
			Subject:    c.Username,
			TokenURL:   endpoint,
			Audience:   c.Audience,
			Expires:    assertionLife,
		}
		return conf.TokenSource(ctx).Token()
	case FlowClientCredentials:
		conf := clientcredentials.Config{
			ClientID:     c.ClientID,
			ClientSecret: c.ClientSecret,
			TokenURL:     endpoint,
			AuthStyle:    oauth2.AuthStyleInParams,
		}
		return conf.Token(ctx)
	}
	return a.runRefresh(ctx, endpoint)
}

func (a *authenticator) runRefresh(ctx context.Context, endpoint string) (*oauth2.Token, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	conf := oauth2.Config{
		ClientID:     a.credentials.ClientID,
		ClientSecret: a.credentials.ClientSecret,
		Endpoint:     oauth2.Endpoint{TokenURL: endpoint, AuthStyle: oauth2.AuthStyleInParams},
	}
	token, err := conf.TokenSource(ctx, &oauth2.Token{RefreshToken: a.refresh}).Token()
	if err != nil {
		return nil, err
	}
	if token.RefreshToken == "" || token.RefreshToken == a.refresh {
		return token, nil
	}
	a.refresh = token.RefreshToken
	if save := a.credentials.SaveRefreshToken; save != nil {
		if err := save(token.RefreshToken); err != nil {
			// The old one is dead at the org: going on with the new one is all that is left.
			a.log.Error("rotated refresh token not saved: the next start can't log in", "err", err)
		}
	}
	return token, nil
}

// loginTrip binds a login's requests to its context, which x/oauth2/jwt doesn't do, and keeps the transport's error,
// whose kind the packages hide.
type loginTrip struct {
	ctx  context.Context // lives for one login
	base http.RoundTripper
	err  error
}

func (t *loginTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.base.RoundTrip(r.WithContext(t.ctx))
	t.err = err
	return response, err
}

func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// loginError turns what the OAuth packages say into an AuthError that holds nothing of the request.
func loginError(ctx context.Context, err, transport error) *AuthError {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		var body struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}
		if json.Unmarshal(refused.Body, &body) != nil {
			body.Error = ""
		}
		if e := orgError(refused.Response, refused.Body); e != nil {
			return e
		}
		return newAuthError(refused.Response.StatusCode, body.Error, body.Description)
	}
	e := &AuthError{Code: CodeTransport, Transient: true}
	switch {
	case ctx.Err() != nil:
		e.Err = ctx.Err()
	case transport != nil:
		e.Err = transport
	default:
		e.Description = "the token endpoint's answer can't be understood"
	}
	return e
}

// orgError reads an error of the org's API where one of the token endpoint was due: an org at its limits or down for
// maintenance may answer every path so. Its code tells the breaker more than that the login failed.
func orgError(response *http.Response, body []byte) *AuthError {
	k := &call{name: "login"}
	e := k.fail(&answer{status: response.StatusCode, header: response.Header, body: body})
	if !e.own || !e.Unavailable() {
		return nil
	}
	return &AuthError{Code: e.Code, Description: e.Message, Transient: true, Status: e.Status, Err: e}
}

func newAuthError(status int, code, description string) *AuthError {
	e := &AuthError{Status: status, Code: clip(code, 100), Description: clip(description, maxDescription)}
	e.Transient = isTransientLogin(status, code, description)
	if e.Code == "" {
		e.Code, e.Description = CodeTransport, "not an answer of Salesforce's token endpoint"
	}
	return e
}

// isTransientLogin tells what passes by itself from what somebody has to change. A page of an edge (no code) passes,
// but a redirect means that login_url is not the place.
func isTransientLogin(status int, code, description string) bool {
	switch code {
	case "":
		return status < 300 || status >= 400
	case "unknown_error", "server_error", "temporarily_unavailable", "rate_limit_exceeded":
		return true
	case "invalid_grant":
		return mentions(description, "already being processed", "login rate exceeded", "rate_limit_exceeded")
	}
	return status >= 500
}

// checkInstance accepts the place that a token was issued for: of Salesforce's own hosts, or the one that
// we logged in at. Everywhere else the token would be given away.
func checkInstance(raw string, login *url.URL) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("instance_url: not a URL")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" || u.Host == "" {
		return "", fmt.Errorf("instance_url %q: more than scheme and host", clip(raw, 200))
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case u.Scheme == login.Scheme && strings.EqualFold(u.Host, login.Host):
	case u.Scheme == "http" && login.Scheme == "http" && isLoopback(host):
	case u.Scheme == "https" && isSalesforceHost(host) && (u.Port() == "" || u.Port() == "443"):
	default:
		return "", fmt.Errorf("instance_url %q: not a host of Salesforce's", clip(raw, 200))
	}
	return u.Scheme + "://" + u.Host, nil
}

func isSalesforceHost(host string) bool {
	return strings.HasSuffix(host, ".salesforce.com") || strings.HasSuffix(host, ".salesforce.mil")
}

// checkLogin parses LoginURL.
func checkLogin(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, errors.New("login url: not an absolute URL")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("login url: must be a scheme and a host only")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, errors.New("login url: must be https, or http to a loopback address")
	}
	return u, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// parseIdentityURL reads org and user from the token answer's "id", …/id/{org}/{user}.
func parseIdentityURL(raw string) (org, user ID, err error) {
	parts := strings.Split(strings.TrimRight(raw, "/"), "/")
	if len(parts) < 3 || parts[len(parts)-3] != "id" {
		return "", "", errors.New("id: not an identity URL")
	}
	org, ok := answeredID(parts[len(parts)-2])
	if !ok {
		return "", "", errors.New("id: names no org")
	}
	user, ok = answeredID(parts[len(parts)-1])
	if !ok {
		return "", "", errors.New("id: names no user")
	}
	return org, user, nil
}
