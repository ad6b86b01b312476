package simulator

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// sign makes an assertion.
func sign(t *testing.T, privatePEM []byte, header string, claims map[string]any) string {
	t.Helper()
	block, _ := pem.Decode(privatePEM)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key.(*rsa.PrivateKey), crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

const rs256 = `{"alg":"RS256"}`

func TestJWT(t *testing.T) {
	private, public, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	o := startOrg(t, Config{PublicKey: public, Username: "ada@example.com"})
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	type claims = map[string]any
	for _, tt := range []struct {
		name, header string
		key          []byte
		change       claims
		code, text   string // "": a token
	}{
		{"a good one", rs256, private, nil, "", ""},
		{"for the test host", rs256, private, claims{"aud": "https://test.salesforce.com"}, "", ""},
		{"for this host", rs256, private, claims{"aud": o.url}, "", ""},
		{"five minutes ahead", rs256, private, claims{"exp": in(5 * time.Minute)}, "", ""},
		{"expiry as text", rs256, private, claims{"exp": "1" + strings.Repeat("0", 9)}, "invalid_grant", "expired authorization code"},
		{"too far ahead", rs256, private, claims{"exp": in(time.Hour)}, "invalid_grant", "expired authorization code"},
		{"expired", rs256, private, claims{"exp": in(-time.Second)}, "invalid_grant", "expired authorization code"},
		{"another host", rs256, private, claims{"aud": "https://evil.example"}, "invalid_grant", "audience is invalid"},
		{"another app", rs256, private, claims{"iss": "x"}, "invalid_client_id", "client identifier invalid"},
		{"another user", rs256, private, claims{"sub": "x"}, "invalid_grant", "user hasn't approved this consumer"},
		{"another key", rs256, other, nil, "invalid_grant", "invalid assertion"},
		{"no algorithm", `{"alg":"none"}`, private, nil, "invalid_grant", "invalid assertion"},
		{"a jti", rs256, private, claims{"jti": "1"}, "", ""},
		{"the jti again", rs256, private, claims{"jti": "1"}, "invalid_grant", "invalid assertion"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := claims{"iss": DefaultClientID, "sub": "ada@example.com", "aud": "https://login.salesforce.com", "exp": in(2 * time.Minute)}
			for k, v := range tt.change {
				c[k] = v
			}
			r := o.form("/services/oauth2/token", url.Values{
				"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {sign(t, tt.key, tt.header, c)},
			})
			if tt.code == "" {
				r.want(200, `"token_type":"Bearer"`)
				return
			}
			got := r.want(400, "").object()
			if got["error"] != tt.code || got["error_description"] != tt.text {
				t.Errorf("got %v, want %s: %s", got, tt.code, tt.text)
			}
		})
	}
	o.form("/services/oauth2/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {"a.b"}, "scope": {"api"},
	}).want(400, "scope parameter not supported")
}

func TestToken_Answer(t *testing.T) {
	o := startOrg(t, Config{Seed: 7})
	got := o.form("/services/oauth2/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {DefaultClientID}, "client_secret": {DefaultClientSecret},
	}).want(200, "").object()
	for _, absent := range []string{"expires_in", "refresh_token"} {
		if v, ok := got[absent]; ok {
			t.Errorf("%s is sent: %v", absent, v)
		}
	}
	if got["instance_url"] != o.url {
		t.Errorf("instance_url %v, want %s", got["instance_url"], o.url)
	}
	if want := o.url + "/id/" + o.sim.OrgID() + "/005"; !strings.HasPrefix(got["id"].(string), want) {
		t.Errorf("id %v, want %s…", got["id"], want)
	}
	if _, ok := got["issued_at"].(string); !ok {
		t.Errorf("issued_at is a %T, want text", got["issued_at"])
	}
	if token := got["access_token"].(string); !strings.HasPrefix(token, o.sim.OrgID()[:15]+"!") {
		t.Errorf("access token %s does not begin with the org", token)
	}
}

func TestToken_Refusals(t *testing.T) {
	o := startOrg(t, Config{})
	for _, tt := range []struct {
		name, form, code string
	}{
		{"wrong app", "grant_type=client_credentials&client_id=x&client_secret=" + DefaultClientSecret, "invalid_client_id"},
		{"wrong secret", "grant_type=client_credentials&client_id=" + DefaultClientID + "&client_secret=x", "invalid_client"},
		{"no key for JWT", "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c", "invalid_grant"},
		{"password flow", "grant_type=password&username=a&password=b", "unsupported_grant_type"},
		{"no grant type", "a=b", "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			values, err := url.ParseQuery(tt.form)
			if err != nil {
				t.Fatal(err)
			}
			if got := o.form("/services/oauth2/token", values).want(400, "").object(); got["error"] != tt.code {
				t.Errorf("got %v, want %s", got, tt.code)
			}
		})
	}
	o.do("POST", "/services/oauth2/token", `{}`).want(400, "invalid_request")
}

func refreshForm(token string) url.Values {
	return url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token},
		"client_id": {DefaultClientID}, "client_secret": {DefaultClientSecret},
	}
}

func TestRefresh_Rotates(t *testing.T) {
	o := startOrg(t, Config{RotateTokens: true})
	next := o.form("/services/oauth2/token", refreshForm(DefaultRefreshToken)).want(200, "").object()["refresh_token"].(string)
	o.form("/services/oauth2/token", refreshForm(DefaultRefreshToken)).want(400, "expired access/refresh token")
	o.form("/services/oauth2/token", refreshForm(next)).want(200, "")
}

func TestRefresh_OneAtATime(t *testing.T) {
	o := startOrg(t, Config{})
	o.fault(Fault{Match: Match{Kind: "token", Nth: []int{1}}, Do: "delay_after", Delay: time.Hour})
	var held sync.WaitGroup
	held.Go(func() {
		_, _ = o.try("POST", "/services/oauth2/token", refreshForm(DefaultRefreshToken).Encode(),
			"Content-Type", "application/x-www-form-urlencoded") // ends with the simulator
	})
	o.awaitFault()
	for {
		r := o.form("/services/oauth2/token", refreshForm(DefaultRefreshToken))
		if r.status == 400 {
			r.want(400, "token request is already being processed")
			break
		}
	}
	if err := o.sim.Close(); err != nil {
		t.Error(err)
	}
	held.Wait()
}

func TestSession_Ends(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*testOrg)
	}{
		{"revoked", func(o *testOrg) { o.form("/services/oauth2/revoke", url.Values{"token": {o.token}}).want(200, "") }},
		{"idle for too long", func(o *testOrg) { o.sim.Advance(3 * time.Hour) }},
		{"on command", func(o *testOrg) { o.sim.ExpireTokens() }},
		{"by a fault", func(o *testOrg) {
			o.fault(Fault{Do: "expire_token", Match: Match{Times: 1}})
			o.do("GET", "/limits", "").refused(401, "INVALID_SESSION_ID", "Session expired or invalid")
		}},
		{"another org", func(o *testOrg) {
			if err := o.sim.SetOrgID("00D5e0000000001"); err != nil {
				o.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := startOrg(t, Config{})
			o.do("GET", "/limits", "").want(200, "")
			tt.end(o)
			for _, path := range []string{"/limits", "/jobs/ingest", "/sobjects/Account/describe", "/query?q=x", "/services/oauth2/userinfo"} {
				o.do("GET", path, "").refused(401, "INVALID_SESSION_ID", "Session expired or invalid")
			}
			o.do("PUT", "/jobs/ingest/7505e0000000001/batches", "x", "Content-Type", "text/csv").refused(401, "INVALID_SESSION_ID", "")
			o.do("GET", "/id/"+o.sim.OrgID()+"/x", "").want(403, "Bad_OAuth_Token")
			o.login()
			o.do("GET", "/limits", "").want(200, "")
		})
	}
}

func TestSession_MalformedHeader(t *testing.T) {
	o := startOrg(t, Config{})
	o.do("GET", "/limits", "", "Authorization", "Basic x").refused(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
}

func TestIntrospect(t *testing.T) {
	o := startOrg(t, Config{})
	form := url.Values{"token": {o.token}, "client_id": {DefaultClientID}, "client_secret": {DefaultClientSecret}}
	o.form("/services/oauth2/introspect", form).want(200, `"active":true`)
	o.sim.ExpireTokens()
	o.form("/services/oauth2/introspect", form).want(200, `"active":false`)
}

func TestSetOrgID_IsInTheNextToken(t *testing.T) {
	o := startOrg(t, Config{})
	if err := o.sim.SetOrgID("00D5e0000000XYZ"); err != nil {
		t.Fatal(err)
	}
	o.login()
	o.do("GET", "/services/oauth2/userinfo", "").want(200, `"organization_id":"00D5e0000000XYZEA2"`)
	if err := o.sim.SetOrgID("0015e0000000XYZ"); err == nil {
		t.Error("the id of an account became the org's")
	}
}

func TestParsePublicKey(t *testing.T) {
	_, public, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	for typ, bytes := range map[string][]byte{"PUBLIC KEY": der, "RSA PUBLIC KEY": x509.MarshalPKCS1PublicKey(public)} {
		got, err := ParsePublicKey(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: bytes}))
		if err != nil || !got.Equal(public) {
			t.Errorf("%s: %v", typ, err)
		}
	}
	if _, err := ParsePublicKey([]byte("nonsense")); err == nil {
		t.Error("nonsense is a key")
	}
}

func TestIdentity(t *testing.T) {
	o := startOrg(t, Config{})
	url := o.do("GET", "/services/data/v66.0", "").object()["identity"].(string)
	me := o.do("GET", strings.TrimPrefix(url, o.url), "").want(200, "").object()
	info := o.do("GET", "/services/oauth2/userinfo", "").want(200, "").object()
	if me["id"] != url || me["id"] != info["sub"] || me["username"] != info["preferred_username"] {
		t.Errorf("identity %v\nuser info %v", me, info)
	}
	rest := strings.Replace(me["urls"].(map[string]any)["rest"].(string), "{version}", "66.0", 1)
	o.do("GET", strings.TrimPrefix(rest, o.url), "").want(200, `"sobjects"`)
	o.token = "dead"
	if r := o.do("GET", strings.TrimPrefix(url, o.url), ""); r.status != 403 || r.body != "Bad_OAuth_Token" {
		t.Errorf("with a dead token: %d %s", r.status, r.body)
	}
}
