package salesforce

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var testKey = sync.OnceValue(func() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
})

func byJWT(cfg *Config) {
	cfg.Auth = Credentials{Flow: FlowJWT, ClientID: "app", Username: "ada@example.com", PrivateKeyPEM: testKey()}
}

func byRefreshToken(cfg *Config) {
	cfg.Auth = Credentials{Flow: FlowRefreshToken, ClientID: "app", ClientSecret: "s3cret", RefreshToken: "refresh-0"}
}

func byClientCredentials(*Config) {}

var flows = map[string]func(*Config){
	FlowJWT: byJWT, FlowRefreshToken: byRefreshToken, FlowClientCredentials: byClientCredentials,
}

func TestLogin_TellsWhoWeAre(t *testing.T) {
	for name, flow := range flows {
		t.Run(name, func(t *testing.T) {
			org := newFakeOrg(t, nil)
			got, err := org.client(t, flow).Login(context.Background())
			want := Identity{OrgID: testOrg, UserID: testUser, InstanceURL: org.URL, APIVersion: "66.0"}
			if err != nil || got != want {
				t.Errorf("Login() = %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

func TestLogin_SendsWhatEachFlowNeeds(t *testing.T) {
	want := map[string]url.Values{
		FlowClientCredentials: {"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"s3cret"}},
		FlowRefreshToken:      {"grant_type": {"refresh_token"}, "client_id": {"app"}, "client_secret": {"s3cret"}, "refresh_token": {"refresh-0"}},
	}
	for name, form := range want {
		org := newFakeOrg(t, nil)
		if _, err := org.client(t, flows[name]).Login(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := org.logins[0]; got.Body != form.Encode() || got.Header.Get("Authorization") != "" {
			t.Errorf("%s sends %s, want %s in the body alone", name, got.Body, form.Encode())
		}
	}
}

func TestLogin_AssertionIsWhatSalesforceTakes(t *testing.T) {
	org := newFakeOrg(t, nil)
	if _, err := org.client(t, byJWT).Login(context.Background()); err != nil {
		t.Fatal(err)
	}
	form, err := url.ParseQuery(org.logins[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(form) != 2 || form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		t.Errorf("form = %v, want grant_type and assertion alone", form)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(form.Get("assertion"), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Iss, Sub, Aud, Scope string
		Exp                  int64
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	life := time.Until(time.Unix(claims.Exp, 0))
	if claims.Iss != "app" || claims.Sub != "ada@example.com" || claims.Aud != org.URL || claims.Scope != "" || life <= 0 || life > 3*time.Minute {
		t.Errorf("claims = %+v, ends in %v", claims, life)
	}
}

func TestAudience(t *testing.T) {
	for login, want := range map[string]string{
		"https://login.salesforce.com":                     "https://login.salesforce.com",
		"https://test.salesforce.com":                      "https://test.salesforce.com",
		"https://acme.my.salesforce.com":                   "https://login.salesforce.com",
		"https://acme.develop.my.salesforce.com":           "https://login.salesforce.com",
		"https://acme--uat.sandbox.my.salesforce.com":      "https://test.salesforce.com",
		"https://acme--uat.my.salesforce.com":              "https://test.salesforce.com",
		"https://cunning-fox-1.scratch.my.salesforce.com/": "https://test.salesforce.com",
		"http://127.0.0.1:8080":                            "http://127.0.0.1:8080",
	} {
		u, err := checkLogin(login)
		if err != nil {
			t.Fatal(err)
		}
		if got := audienceOf(u); got != want {
			t.Errorf("audienceOf(%s) = %s, want %s", login, got, want)
		}
	}
}

func TestLogin_InstanceMustBeSalesforces(t *testing.T) {
	for _, tt := range []struct {
		login, instance string
		ok              bool
	}{
		{"https://login.salesforce.com", "https://acme.my.salesforce.com", true},
		{"https://login.salesforce.com", "https://acme.my.salesforce.com/", true},
		{"https://login.salesforce.com", "https://acme--uat.sandbox.my.salesforce.com", true},
		{"https://login.salesforce.com", "https://na1.salesforce.com", true},
		{"https://login.salesforce.com", "http://acme.my.salesforce.com", false},
		{"https://login.salesforce.com", "https://acme.my.salesforce.com.evil.example", false},
		{"https://login.salesforce.com", "https://evilsalesforce.com", false},
		{"https://login.salesforce.com", "https://acme.my.salesforce.com@evil.example", false},
		{"https://login.salesforce.com", "https://acme.my.salesforce.com:8443", false},
		{"https://login.salesforce.com", "https://acme.my.salesforce.com/x", false},
		{"https://login.salesforce.com", "https://acme.my.salesforce.com?x", false},
		{"https://login.salesforce.com", "http://127.0.0.1", false},
		{"https://login.salesforce.com", "https://127.0.0.1", false},
		{"https://login.salesforce.com", "//acme.my.salesforce.com", false},
		{"https://login.salesforce.com", "", false},
		{"https://proxy.example", "https://proxy.example", true},
		{"https://proxy.example", "https://other.example", false},
		{"https://proxy.example:444", "https://proxy.example", false},
		{"http://127.0.0.1:1", "http://127.0.0.1:2", true},
		{"http://127.0.0.1:1", "http://[::1]:2", true},
		{"http://127.0.0.1:1", "http://10.0.0.1:2", false},
		{"http://127.0.0.1:1", "http://localhost.evil.example:2", false},
	} {
		login, err := checkLogin(tt.login)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := checkInstance(tt.instance, login); (err == nil) != tt.ok {
			t.Errorf("checkInstance(%s) after %s = %q, %v, want ok %t", tt.instance, tt.login, got, err, tt.ok)
		}
	}
}

func TestNew_RefusesWhatCantWork(t *testing.T) {
	good := Config{LoginURL: "https://login.salesforce.com", Auth: Credentials{Flow: FlowJWT, ClientID: "app", Username: "a", PrivateKeyPEM: testKey()}}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"plain http":   func(c *Config) { c.LoginURL = "http://login.salesforce.com" },
		"no host":      func(c *Config) { c.LoginURL = "login.salesforce.com" },
		"a path":       func(c *Config) { c.LoginURL += "/services" },
		"a password":   func(c *Config) { c.LoginURL = "https://a:b@login.salesforce.com" },
		"no flow":      func(c *Config) { c.Auth.Flow = "" },
		"no client id": func(c *Config) { c.Auth.ClientID = "" },
		"no user":      func(c *Config) { c.Auth.Username = "" },
		"no key":       func(c *Config) { c.Auth.PrivateKeyPEM = nil },
		"a key that is none": func(c *Config) {
			c.Auth.PrivateKeyPEM = []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
		},
		"no secret":            func(c *Config) { c.Auth.Flow = FlowClientCredentials },
		"no refresh token":     func(c *Config) { c.Auth.Flow = FlowRefreshToken },
		"version too new":      func(c *Config) { c.APIVersion = "67.0" },
		"version too old":      func(c *Config) { c.APIVersion = "45.0" },
		"version with a v":     func(c *Config) { c.APIVersion = "v64.0" },
		"version out of shape": func(c *Config) { c.APIVersion = "64" },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: New accepts it", name)
		}
	}
}

func TestLogin_ErrorsTellWhatPasses(t *testing.T) {
	for _, tt := range []struct {
		name      string
		status    int
		content   string
		body      string
		code      string
		transient bool
	}{
		{"bad secret", 401, "application/json", `{"error":"invalid_client","error_description":"invalid client credentials"}`, "invalid_client", false},
		{"bad user", 400, "application/json", `{"error":"invalid_grant","error_description":"authentication failure"}`, "invalid_grant", false},
		{"parallel refresh", 400, "application/json", `{"error":"invalid_grant","error_description":"token request is already being processed"}`, "invalid_grant", true},
		{"too many logins", 400, "application/json", `{"error":"invalid_grant","error_description":"login rate exceeded"}`, "invalid_grant", true},
		{"retry", 400, "application/json", `{"error":"unknown_error","error_description":"retry your request"}`, "unknown_error", true},
		{"maintenance page", 503, "text/html", `<html>We are down for maintenance.</html>`, CodeTransport, true},
		{"page with 403", 403, "text/html", `<html>denied</html>`, CodeTransport, true},
		{"page with 200", 200, "text/html", `<html>hello</html>`, CodeTransport, true},
		{"error with 200", 200, "application/json", `{"error":"invalid_grant","error_description":"expired"}`, "invalid_grant", false},
		{"no token in it", 200, "application/json", `{}`, CodeTransport, true},
		{"the org's limits", 403, "application/json", `[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]`, "REQUEST_LIMIT_EXCEEDED", true},
		{"redirect", 302, "text/html", ``, CodeTransport, false},
	} {
		for name, flow := range flows {
			t.Run(tt.name+" by "+name, func(t *testing.T) {
				org := newFakeOrg(t, nil)
				org.login = answering(tt.status, tt.content, tt.body)
				_, err := org.client(t, flow).Login(context.Background())
				e, ok := errors.AsType[*AuthError](err)
				if !ok || e.Code != tt.code || e.Transient != tt.transient {
					t.Fatalf("Login() = %#v (%v), want code %s, transient %t", e, err, tt.code, tt.transient)
				}
				want := Auth
				if tt.transient {
					want = PauseOrg
				}
				if got := ClassOf(err); got != want {
					t.Errorf("ClassOf = %v, want %v", got, want)
				}
				mustNotHold(t, "error", err.Error(), "s3cret", "refresh-0", "assertion")
				if n := org.loginCount(); n != 1 {
					t.Errorf("%d requests to log in, want 1", n)
				}
			})
		}
	}
}

func TestLogin_EndsWithItsContext(t *testing.T) {
	for name, flow := range flows {
		t.Run(name, func(t *testing.T) {
			org := newFakeOrg(t, nil)
			arrived := make(chan struct{})
			org.login = func(_ http.ResponseWriter, r *http.Request) {
				close(arrived)
				<-r.Context().Done()
			}
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				<-arrived
				cancel()
			}()
			_, err := org.client(t, flow).Login(ctx)
			if !errors.Is(err, context.Canceled) || ClassOf(err) != Retry {
				t.Errorf("Login() = %v, class %v, want canceled, retry", err, ClassOf(err))
			}
		})
	}
}

func TestLogin_NobodyThereIsTransient(t *testing.T) {
	for name, flow := range flows {
		org := newFakeOrg(t, nil)
		c := org.client(t, flow)
		org.Server.Close()
		_, err := c.Login(context.Background())
		e, ok := errors.AsType[*AuthError](err)
		if !ok || !e.Transient || e.Status != 0 || e.Err == nil {
			t.Errorf("%s: Login() = %#v", name, err)
		}
		mustNotHold(t, "error", err.Error(), "s3cret", "refresh-0")
	}
}

func TestRefresh_RotatedTokenIsSavedAndUsed(t *testing.T) {
	org := newFakeOrg(t, nil)
	n := 0
	var used []string
	org.login = func(w http.ResponseWriter, r *http.Request) {
		used = append(used, r.FormValue("refresh_token"))
		n++
		answerJSON(w, 200, `{"access_token":"token-`+string(rune('0'+n))+`","refresh_token":"refresh-`+string(rune('0'+n))+`","instance_url":"`+org.URL+`","id":"`+org.URL+`/id/`+testOrg+`/`+testUser+`"}`)
	}
	var saved []string
	c := org.client(t, byRefreshToken, func(cfg *Config) {
		cfg.Auth.SaveRefreshToken = func(s string) error { saved = append(saved, s); return nil }
	})
	for range 2 {
		if _, err := c.Login(context.Background()); err != nil {
			t.Fatal(err)
		}
		g, _ := c.tokens.get(context.Background())
		c.tokens.invalidate(g.token)
	}
	if got, want := strings.Join(used, " "), "refresh-0 refresh-1"; got != want {
		t.Errorf("used %s, want %s", got, want)
	}
	if got, want := strings.Join(saved, " "), "refresh-1 refresh-2"; got != want {
		t.Errorf("saved %s, want %s", got, want)
	}
}

func TestOnIdentity_RefusesTheTokenBeforeItsUse(t *testing.T) {
	org := newFakeOrg(t, answering(200, "application/json", createdOne))
	c := org.client(t)
	errOther := errors.New("another org")
	c.OnIdentity(func(id Identity) error {
		if id.OrgID != testOrg {
			t.Errorf("identity = %+v", id)
		}
		return errOther
	})
	err := createOne(c)
	if !errors.Is(err, errOther) || ClassOf(err) != Auth {
		t.Errorf("Create() = %v, class %v, want %v, auth", err, ClassOf(err), errOther)
	}
	if calls := org.seen(); len(calls) != 0 {
		t.Errorf("calls = %v, want none", calls)
	}
}

func TestLogin_ChoosesTheVersionThatBothKnow(t *testing.T) {
	for _, tt := range []struct{ configured, listed, want, code string }{
		{"auto", `[{"version":"60.0"},{"version":"66.0"},{"version":"68.0"}]`, "66.0", ""},
		{"", `[{"version":"64.0"},{"version":"9.0"}]`, "64.0", ""},
		{"auto", `[{"version":"100.0"},{"version":"50.0"}]`, "50.0", ""},
		{"62.0", `[{"version":"62.0"},{"version":"66.0"}]`, "62.0", ""},
		{"62.0", `[{"version":"66.0"}]`, "", "UNSUPPORTED_API_VERSION"},
		{"auto", `[{"version":"68.0"}]`, "", "UNSUPPORTED_API_VERSION"},
		{"auto", `<html>`, "", CodeTransport},
	} {
		org := newFakeOrg(t, nil)
		org.versions = tt.listed
		id, err := org.client(t, func(cfg *Config) { cfg.APIVersion = tt.configured }).Login(context.Background())
		code := ""
		if e, ok := errors.AsType[*AuthError](err); ok {
			code = e.Code
		}
		if id.APIVersion != tt.want || code != tt.code {
			t.Errorf("%s of %s: version %q, %v, want %q, %s", tt.configured, tt.listed, id.APIVersion, err, tt.want, tt.code)
		}
	}
}

func TestToken_OneLoginForAll(t *testing.T) {
	var logins atomic.Int32
	s := &tokenSource{login: func(context.Context) (*grant, error) {
		n := logins.Add(1)
		return &grant{token: string(rune('a' + n))}, nil
	}}
	first, err := s.get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			s.invalidate(first.token)
			if g, err := s.get(context.Background()); err != nil || g.token == first.token {
				t.Errorf("get() = %v, %v after its token failed", g, err)
			}
		})
	}
	all.Wait()
	if n := logins.Load(); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

func TestToken_FailureIsSharedAndRememberedShortly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := 0
		s := &tokenSource{login: func(context.Context) (*grant, error) {
			logins++
			time.Sleep(time.Second)
			return nil, &AuthError{Code: "invalid_client"}
		}}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := s.get(context.Background()); err == nil {
					t.Error("get() succeeds")
				}
			})
		}
		all.Wait()
		if logins != 1 {
			t.Errorf("%d logins for those who waited, want 1", logins)
		}
		time.Sleep(memoryOfFailure)
		s.get(context.Background())
		if logins != 2 {
			t.Errorf("%d logins after the failure was forgotten, want 2", logins)
		}
	})
}

func TestToken_WhoGivesUpDoesNotFailTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := 0
		s := &tokenSource{login: func(ctx context.Context) (*grant, error) {
			logins++
			if logins > 1 {
				return &grant{token: "token"}, nil
			}
			<-ctx.Done()
			return nil, &AuthError{Code: CodeTransport, Transient: true, Err: ctx.Err()}
		}}
		ctx, cancel := context.WithCancel(context.Background())
		go s.get(ctx)
		synctest.Wait()
		var all sync.WaitGroup
		all.Go(func() {
			if g, err := s.get(context.Background()); err != nil || g.token != "token" {
				t.Errorf("get() = %v, %v, want a token", g, err)
			}
		})
		synctest.Wait()
		cancel()
		all.Wait()
	})
}

func TestLogin_TokenGoesToTheInstanceAlone(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was asked, with %q", r.Header.Get("Authorization"))
	}))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		org := newFakeOrg(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path, status)
		})
		c := org.client(t)
		err := createOne(c)
		e, ok := errors.AsType[*APIError](err)
		if !ok || e.Status != status || e.Class != Ambiguous || !e.Unavailable() {
			t.Errorf("Create() after %d = %#v", status, err)
		}
		createOne(c)
		if n := org.loginCount(); n != 2 {
			t.Errorf("%d logins after a move, want 2: the next call asks where the org is", n)
		}
	}
}

func TestAuthError_HasARemedy(t *testing.T) {
	for _, tt := range []struct {
		err  AuthError
		want string
	}{
		{AuthError{Code: "invalid_grant", Description: "user hasn't approved this consumer"}, "pre-authorize"},
		{AuthError{Code: "invalid_grant", Description: "request not supported on this domain"}, "My Domain"},
		{AuthError{Code: "invalid_grant", Description: "authentication failure"}, "user's name"},
		{AuthError{Code: CodeTransport, Transient: true}, "network"},
		{AuthError{Code: "never_seen"}, "Login History"},
	} {
		if got := tt.err.Remedy(); !strings.Contains(got, tt.want) {
			t.Errorf("Remedy of %s = %q, want %q in it", tt.err.Code, got, tt.want)
		}
	}
}

func TestLogin_OverTLS(t *testing.T) {
	org := newFakeOrg(t, answering(200, "application/json", createdOne))
	secured := httptest.NewTLSServer(org)
	t.Cleanup(secured.Close)
	org.instance = secured.URL
	roots := x509.NewCertPool()
	roots.AddCert(secured.Certificate())
	c := org.client(t, func(cfg *Config) {
		cfg.LoginURL = secured.URL
		cfg.TLS = &tls.Config{RootCAs: roots}
	})
	if err := createOne(c); err != nil {
		t.Error(err)
	}
}
