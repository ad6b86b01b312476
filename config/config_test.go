package config

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

var compareSecrets = cmp.AllowUnexported(Secret{})

// folder holds files of mode 0600, by name.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func privateKey(t testing.TB) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func parse(t testing.TB, text string) (*Config, error) {
	t.Helper()
	return Parse("c.yaml", []byte(text), Options{Dir: t.TempDir()})
}

func mustParse(t testing.TB, text string) *Config {
	t.Helper()
	c, err := parse(t, text)
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return c
}

func TestParse_NothingIsTheDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "{}", "null", "store:\ndispatch:\n  rest:\nsalesforce:\nobjects:\n"} {
		if diff := cmp.Diff(Default(), mustParse(t, text)); diff != "" {
			t.Errorf("Parse(%q): %s", text, diff)
		}
	}
}

func TestLoad_Example(t *testing.T) {
	example, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	key := privateKey(t)
	dir := folder(t, map[string]string{"outboxd.yaml": string(example), "salesforce.key": key})
	got, err := Load(filepath.Join(dir, "outboxd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Salesforce = &Salesforce{
		LoginURL: "https://login.salesforce.com", APIVersion: "auto",
		Auth: Auth{
			Flow: "jwt", ClientID: "3MVG9_example", Username: "integration@example.com",
			PrivateKey: Secret{strings.TrimSpace(key), true}, PrivateKeyFile: "salesforce.key",
		},
	}
	want.Access.Operate = []string{"@admins"}
	want.HTTP.Listen = "127.0.0.1:9464"
	yes, no := true, false
	want.Objects = map[string]Object{
		"Contact":  {KeyField: "Outbox_Key__c", OnFailure: "block", CreateVia: "bulk"},
		"Order__c": {OnFailure: "block", CreateVia: "bulk"},
		"Lead":     {OnFailure: "block", CreateVia: "bulk", AllowSave: &yes, AutoAssign: &no},
	}
	if diff := cmp.Diff(want, got, compareSecrets); diff != "" {
		t.Error(diff)
	}
	if got.Object("CONTACT").KeyField != "Outbox_Key__c" || got.Object("Account").OnFailure != "block" {
		t.Error("objects are not found by name in any letter case, or have no defaults")
	}
}

// bad has a configuration with one mistake a row, at line:column, with its key,
// and parts of what is said of it and of the remedy.
var bad = []struct {
	name, text       string
	at, key          string
	what, hint       string
	alsoOtherProblem bool
}{
	{name: "unknown key", text: "store:\n  max_sise: 1GiB\n", at: "2:3", key: "store.max_sise", what: "unknown key", hint: "did you mean max_size?"},
	{name: "unknown group", text: "stuff: 1\n", at: "1:1", key: "stuff", what: "unknown key", hint: "known here: salesforce, store"},
	{name: "key with a dash", text: "dispatch:\n  api-budget: {}\n", at: "2:3", key: "dispatch.api-budget", what: "unknown key", hint: "did you mean api_budget?"},
	{name: "key in another group", text: "max_size: 1GiB\n", at: "1:1", key: "max_size", what: "unknown key", hint: "known here"},
	{name: "key twice", text: "store: {}\nstore: {}\n", at: "2:1", key: "store", what: "given twice", hint: "keep one"},
	{name: "unknown key of an object", text: "objects:\n  Lead: { keyfield: A }\n", at: "2:11", key: "objects.Lead.keyfield", what: "unknown key", hint: "key_field"},
	{name: "list for a mapping", text: "store: [a]\n", at: "1:8", key: "store", what: "must be a mapping, not a list", hint: "keys and values"},
	{name: "text for a mapping", text: "\nstore: /var/lib\n", at: "2:8", key: "store", what: "must be a mapping, not a single value", hint: "keys and values"},
	{name: "a list as a whole", text: "- store\n", at: "1:1", key: "", what: "must be a mapping, not a list", hint: "keys and values"},
	{name: "mapping for a value", text: "store:\n  path: {a: b}\n", at: "2:9", key: "store.path", what: "must be one value, not a mapping"},
	{name: "value for a list", text: "access:\n  write: root\n", at: "2:10", key: "access.write", what: "must be a list, not a single value", hint: "brackets"},
	{name: "no value", text: "store:\n  max_size:\n", at: "2:12", key: "store.max_size", what: "has no value", hint: "leave the key out"},
	{name: "merge key", text: "store: { <<: {path: a} }\n", at: "1:10", key: "store", what: "a key must be a plain text", hint: "write the key out"},
	{name: "alias", text: "http: &h {}\n", at: "1:7", key: "http", what: "anchors and aliases", hint: "write the value out"},

	{name: "tab", text: "store:\n\tpath: a\n", at: "2:1", key: "", what: "not YAML", hint: "no tabs"},
	{name: "bracket left open", text: "access:\n  write: [a\n", at: "3:1", key: "", what: "not YAML", hint: "quotes"},
	{name: "not UTF-8", text: "# é\nstore:\n  path: \xff\n", at: "3:9", key: "", what: "not UTF-8", hint: "UTF-8"},
	{name: "second document", text: "store: {}\n---\nhttp: {}\n", at: "2:1", key: "", what: "a second document", hint: "---"},

	{name: "size without sense", text: "store: { max_size: lots }\n", at: "1:20", key: "store.max_size", what: "not a size", hint: "10GiB"},
	{name: "size too small", text: "store: { max_size: 8191KiB }\n", at: "1:20", key: "store.max_size", what: "must be at least 8MiB", hint: "8MiB or more"},
	{name: "duration without unit", text: "store: { dedup_window: 168 }\n", at: "1:24", key: "store.dedup_window", what: "not a duration", hint: "72h"},
	{name: "duration below zero", text: "stuck: { overdue_after: -1h }\n", at: "1:25", key: "stuck.overdue_after", what: "not a duration", hint: "72h"},
	{name: "duration of nothing", text: "stuck: { overdue_after: 0s }\n", at: "1:25", key: "stuck.overdue_after", what: "at least 1s", hint: "1s or more"},
	{name: "not a boolean", text: "store: { allow_network_fs: maybe }\n", at: "1:28", key: "store.allow_network_fs", what: "must be true or false", hint: "true or false"},
	{name: "not a number", text: "limits: { rate: 1.5 }\n", at: "1:17", key: "limits.rate", what: "not a whole number", hint: "digits"},
	{name: "number below zero", text: "limits: { rate: -1 }\n", at: "1:17", key: "limits.rate", what: "at least 0", hint: "0 or more"},
	{name: "no connections", text: "limits: { connections: 0 }\n", at: "1:24", key: "limits.connections", what: "at least 1", hint: "1 or more"},
	{name: "percentage without sign", text: "limits: { share: 20 }\n", at: "1:18", key: "limits.share", what: "not a percentage", hint: "20%"},
	{name: "share of nothing", text: "limits: { share: 0% }\n", at: "1:18", key: "limits.share", what: "at least 1%", hint: "1%"},
	{name: "percentage above all", text: "dispatch: { api_budget: { reserve: 101% } }\n", at: "1:36", key: "dispatch.api_budget.reserve", what: "from 0% to 100%", hint: "20%"},
	{name: "mode not in octal", text: "socket: { mode: 999 }\n", at: "1:17", key: "socket.mode", what: "not permissions", hint: `"0660"`},
	{name: "mode with more bits", text: "socket: { mode: \"04660\" }\n", at: "1:17", key: "socket.mode", what: "not permissions", hint: `"0660"`},
	{name: "range of one", text: "dispatch:\n  bulk:\n    poll: 5s\n", at: "3:11", key: "dispatch.bulk.poll", what: "not a range", hint: "1s..30s"},
	{name: "range the wrong way round", text: "dispatch: { bulk: { poll: 30s..1s } }\n", at: "1:27", key: "dispatch.bulk.poll", what: "not a range", hint: "1s..30s"},
	{name: "range too long", text: "dispatch: { bulk: { poll: 1s..2h } }\n", at: "1:27", key: "dispatch.bulk.poll", what: "at most 1h", hint: "1h or less"},
	{name: "job too large", text: "dispatch: { bulk: { max_records: 10001 } }\n", at: "1:34", key: "dispatch.bulk.max_records", what: "at most 10000", hint: "10000 or less"},
	{name: "request too large", text: "dispatch: { rest: { max_records: 201 } }\n", at: "1:34", key: "dispatch.rest.max_records", what: "at most 200", hint: "200 or less"},
	{name: "first pause above the longest", text: "dispatch:\n  retry: { initial: 1h }\n", at: "2:21", key: "dispatch.retry.initial", what: "longer than dispatch.retry.max, 10m", hint: "shorter"},
	{name: "longest pause below the first", text: "dispatch:\n  retry: { max: 10ms }\n", at: "2:10", key: "dispatch.retry.initial", what: "longer than dispatch.retry.max, 10ms", hint: "max longer"},

	{name: "store without path", text: "store:\n  path: \"\"\n", at: "2:9", key: "store.path", what: "must not be empty", hint: "outbox.db"},
	{name: "socket without path", text: "socket:\n  path:\n", at: "2:8", key: "socket.path", what: "must not be empty", hint: "outboxd.sock"},
	{name: "socket's path too long", text: "socket: { path: /" + strings.Repeat("x", 107) + " }\n", at: "1:17", key: "socket.path", what: "longer than 107 bytes", hint: "shorter"},
	{name: "group with a space", text: "socket: { group: \"a b\" }\n", at: "1:18", key: "socket.group", what: "not the name of a group", hint: "one group"},
	{name: "access of nobody", text: "access:\n  write: [app, \"@\"]\n", at: "2:16", key: "access.write[1]", what: "names nobody", hint: "@name"},
	{name: "access of every group", text: "access:\n  read: [\"@*\"]\n", at: "2:10", key: "access.read[0]", what: "names nobody", hint: "@name"},
	{name: "listen without port", text: "http: { listen: localhost }\n", at: "1:17", key: "http.listen", what: "not an address", hint: "127.0.0.1:9464"},
	{name: "listen on no port", text: "http: { listen: \"127.0.0.1:http\" }\n", at: "1:17", key: "http.listen", what: "not a port", hint: "127.0.0.1:9464"},

	{name: "object's name", text: "objects:\n  Order-Line: {}\n", at: "2:15", key: "objects.Order-Line", what: "not the API name", hint: "Order__c"},
	{name: "object twice", text: "objects:\n  Lead: {}\n  LEAD: {}\n", at: "3:9", key: "objects.LEAD", what: "the same object as Lead", hint: "into one"},
	{name: "key field's name", text: "objects: { Lead: { key_field: \"a.b\" } }\n", at: "1:31", key: "objects.Lead.key_field", what: "not the API name", hint: "Outbox_Key__c"},
	{name: "on_failure", text: "objects: { Lead: { on_failure: stop } }\n", at: "1:32", key: "objects.Lead.on_failure", what: "must be one of block, skip", hint: "block, skip"},
	{name: "create_via", text: "objects: { Lead: { create_via: soap } }\n", at: "1:32", key: "objects.Lead.create_via", what: "must be one of bulk, rest", hint: "bulk, rest"},
	{name: "allow_save", text: "objects: { Lead: { allow_save: 1 } }\n", at: "1:32", key: "objects.Lead.allow_save", what: "must be true or false", hint: "true or false"},

	{name: "segment", text: "segment:\n  listen: 127.0.0.1:9465\n", at: "2:11", key: "segment.listen", what: "not part of this release", hint: "leave segment out"},
	{name: "segment's unknown key", text: "segment:\n  lisen: \"\"\n", at: "2:3", key: "segment.lisen", what: "unknown key", hint: "did you mean listen?"},
	{name: "validate", text: "validate: strict\n", at: "1:11", key: "validate", what: "must be one of", hint: "off, warn"},
	{name: "mappings", text: "mappings:\n  - name: contact\n", at: "2:3", key: "mappings", what: "not part of this release", hint: "leave the key out"},

	{name: "login over http", text: login("http://login.salesforce.com"), at: "2:14", key: "salesforce.login_url", what: "loopback", hint: "https"},
	{name: "login over http to a name", text: login("http://localhost:8080"), at: "2:14", key: "salesforce.login_url", what: "loopback", hint: "127.0.0.1"},
	{name: "login elsewhere", text: login("ftp://login.salesforce.com"), at: "2:14", key: "salesforce.login_url", what: "must begin with https://", hint: "https://login.salesforce.com"},
	{name: "login with a path", text: login("https://login.salesforce.com/services/oauth2"), at: "2:14", key: "salesforce.login_url", what: "scheme and host only", hint: "https://login.salesforce.com"},
	{name: "login with a password", text: login("https://a:b@login.salesforce.com"), at: "2:14", key: "salesforce.login_url", what: "scheme and host only", hint: "https://login.salesforce.com"},
	{name: "login without a scheme", text: login("login.salesforce.com"), at: "2:14", key: "salesforce.login_url", what: "not a URL", hint: "https://login.salesforce.com"},
	{name: "version without sense", text: account + "  api_version: latest\n", at: "7:16", key: "salesforce.api_version", what: "not a version", hint: "auto"},
	{name: "version too new", text: account + "  api_version: 67.0\n", at: "7:16", key: "salesforce.api_version", what: "46.0 to 66.0", hint: "auto"},
	{name: "audience", text: account + "    audience: me\n", at: "7:15", key: "salesforce.auth.audience", what: "not a URL", hint: "https://login"},
	{name: "flow", text: "salesforce:\n  auth:\n    flow: password\n", at: "3:11", key: "salesforce.auth.flow", what: "must be one of jwt, client_credentials, refresh_token", hint: "jwt"},
	{name: "flow without client", text: "salesforce:\n  auth:\n    flow: client_credentials\n    client_secret: s\n", at: "3:5", key: "salesforce.auth.client_id", what: "required by the flow client_credentials", hint: "consumer key"},
	{name: "flow without secret", text: "salesforce:\n  auth:\n    flow: client_credentials\n    client_id: c\n", at: "3:5", key: "salesforce.auth.client_secret_file", what: "required by the flow client_credentials", hint: "file"},
	{name: "flow without token", text: "salesforce:\n  auth:\n    flow: refresh_token\n    client_id: c\n", at: "3:5", key: "salesforce.auth.refresh_token_file", what: "required by the flow refresh_token", hint: "file"},
	{name: "flow without user", text: "salesforce:\n  auth: { client_id: c, private_key: x }\n", at: "2:9", key: "salesforce.auth.username", what: "required by the flow jwt", hint: "user", alsoOtherProblem: true},
	{name: "flow without key", text: "salesforce:\n  auth: { client_id: c, username: u }\n", at: "2:9", key: "salesforce.auth.private_key_file", what: "required by the flow jwt", hint: "file"},
	{name: "key that is none", text: "salesforce:\n  auth: { client_id: c, username: u, private_key: s3cret }\n", at: "2:51", key: "salesforce.auth.private_key", what: "is not PEM", hint: "openssl"},
	{name: "secret twice", text: account + "    client_secret_file: f\n", at: "6:20", key: "salesforce.auth.client_secret", what: "given twice", hint: "better the file"},
	{name: "secret not there", text: account + "    refresh_token_file: nowhere\n", at: "7:25", key: "salesforce.auth.refresh_token_file", what: "no such file", hint: "$CREDENTIALS_DIRECTORY"},
}

const account = "salesforce:\n  login_url: https://login.salesforce.com\n  auth:\n    flow: client_credentials\n    client_id: c\n    client_secret: s3cret\n"

func login(url string) string {
	return strings.Replace(account, "https://login.salesforce.com", url, 1)
}

func TestParse_EveryMistakeHasPlaceKeyAndRemedy(t *testing.T) {
	for _, tt := range bad {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, tt.text)
			found, ok := errors.AsType[*Errors](err)
			if !ok {
				t.Fatalf("Parse(%s) = %v, want *Errors", tt.text, err)
			}
			if len(found.List) > 1 && !tt.alsoOtherProblem {
				t.Errorf("more than one mistake:\n%v", err)
			}
			e := found.List[0]
			if at := fmt.Sprintf("%d:%d", e.Line, e.Column); at != tt.at || e.Key != tt.key || e.File != "c.yaml" {
				t.Errorf("at %s:%s: %q, want c.yaml:%s: %q", e.File, at, e.Key, tt.at, tt.key)
			}
			if !strings.Contains(e.What, tt.what) || !strings.Contains(e.Hint, tt.hint) {
				t.Errorf("%q; %q, want %q; %q in it", e.What, e.Hint, tt.what, tt.hint)
			}
			if line := found.Error(); !strings.HasPrefix(line, "c.yaml:"+tt.at+": ") || strings.Contains(line, "s3cret") {
				t.Errorf("Error() = %s", line)
			}
		})
	}
}

func TestParse_FindsAllMistakesInOrder(t *testing.T) {
	_, err := parse(t, "store: { max_size: 1MiB, pth: x }\nsocket:\n  mode: rw\n  path: \"\"\nobjects: { 1: {} }\n")
	const want = `c.yaml:1:20: store.max_size: must be at least 8MiB; write 8MiB or more
c.yaml:1:26: store.pth: unknown key; did you mean path?
c.yaml:3:9: socket.mode: not permissions; write them in octal, such as "0660"
c.yaml:4:9: socket.path: must not be empty; name the socket, such as /run/outboxd/outboxd.sock
c.yaml:5:15: objects.1: not the API name of an object; write it as Contact or Order__c`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestParse_LaterKeysMayAskForNothing(t *testing.T) {
	mustParse(t, "segment: { listen: \"\", cors: [] }\nmappings: []\n")
}

// TestParse_Validate: off is a word here, not a boolean.
func TestParse_Validate(t *testing.T) {
	for text, want := range map[string]string{"": "warn", "validate: off\n": "off", "validate: reject\n": "reject"} {
		if c := mustParse(t, text); c.Validate != want {
			t.Errorf("%q: %q, want %q", text, c.Validate, want)
		}
	}
}

func TestParse_EveryFlow(t *testing.T) {
	mustParse(t, account)
	mustParse(t, login("http://127.0.0.1:4711"))
	mustParse(t, login("http://[::1]:4711/"))
	mustParse(t, account+"  api_version: 64.0\n")
	c := mustParse(t, strings.Replace(account, "client_credentials", "refresh_token", 1)+"    refresh_token: s3cret2\n")
	if a := c.Salesforce.Auth; a.RefreshToken.Reveal() != "s3cret2" || a.ClientSecret.Reveal() != "s3cret" {
		t.Error("secrets are not read")
	}
}

func TestLoad_FileThatIsNotThere(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load = %v, want ErrNotExist", err)
	}
}

func TestSecretFiles(t *testing.T) {
	const text = "salesforce:\n  auth:\n    flow: client_credentials\n    client_id: c\n    client_secret_file: "
	beside := folder(t, map[string]string{"secret": " beside\n", "empty": "\n", "open": "x", "group": "x"})
	credentials := folder(t, map[string]string{"secret": "credential\n"})
	for name, mode := range map[string]fs.FileMode{"open": 0o604, "group": 0o640} {
		if err := os.Chmod(filepath.Join(beside, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(credentials, "secret"), 0o440); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(beside, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, file, credentials, want, wrong string
	}{
		{"beside the configuration", "secret", "", "beside", ""},
		{"by its whole path", filepath.Join(beside, "secret"), credentials, "beside", ""},
		{"a credential comes first", "secret", credentials, "credential", ""},
		{"a credential by its whole path", filepath.Join(credentials, "secret"), credentials, "credential", ""},
		{"no such credential", "empty", credentials, "", "is empty"},
		{"a credential's mode is no matter there only", filepath.Join(credentials, "secret"), "", "", "others can read it: its mode is 0440"},
		{"readable for all", "open", "", "", "others can read it: its mode is 0604"},
		{"readable for the group", "group", "", "", "others can read it: its mode is 0640"},
		{"a folder", "folder", "", "", "is not a file"},
		{"nothing", "nothing", credentials, "", "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("c.yaml", []byte(text+tt.file+"\n"), Options{Dir: beside, CredentialsDir: tt.credentials})
			if tt.wrong == "" {
				if err != nil || c.Salesforce.Auth.ClientSecret.Reveal() != tt.want {
					t.Fatalf("Parse: %v, want the secret of %s", err, tt.want)
				}
				return
			}
			found, ok := errors.AsType[*Errors](err)
			if !ok || !strings.Contains(err.Error(), tt.wrong) {
				t.Fatalf("Parse: %v, want %q", err, tt.wrong)
			}
			if e := found.List[0]; e.Line != 5 || e.Column != 25 || e.Hint == "" {
				t.Errorf("at %d:%d, hint %q", e.Line, e.Column, e.Hint)
			}
		})
	}
}

func TestSecretFiles_OfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	dir := folder(t, map[string]string{"secret": "x"})
	if err := os.Chown(filepath.Join(dir, "secret"), 12345, -1); err != nil {
		t.Fatal(err)
	}
	_, err := Parse("c.yaml", []byte("salesforce:\n  auth:\n    flow: client_credentials\n    client_id: c\n    client_secret_file: secret\n"), Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "belongs to another user (uid 12345)") {
		t.Errorf("Parse: %v", err)
	}
}

func TestPrivateKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"PKCS #1": privateKey(t),
		"PKCS #8": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
	} {
		if err := checkPrivateKey(NewSecret(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}))
	if err := checkPrivateKey(NewSecret(certificate)); err == nil {
		t.Error("a certificate is taken for a key")
	}
}

func TestSecret_ShowsItselfNowhere(t *testing.T) {
	c := mustParse(t, account)
	var log, shown bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("x", "secret", c.Salesforce.Auth.ClientSecret, "auth", c.Salesforce.Auth)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", c.Salesforce.Auth.ClientSecret, "config", c)
	if err := c.Show(&shown); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Dump(c.Salesforce.Auth)
	if err != nil {
		t.Fatal(err)
	}
	a := c.Salesforce.Auth
	for name, text := range map[string]string{
		"log": log.String(), "Show": shown.String(), "JSON": string(asJSON), "YAML": string(asYAML),
		"%v": fmt.Sprintf("%v", a), "%+v": fmt.Sprintf("%+v", a), "%#v": fmt.Sprintf("%#v", a),
		"%s": fmt.Sprintf("%s", a.ClientSecret), "%q": fmt.Sprintf("%q", a.ClientSecret), "%x": fmt.Sprintf("%x", a.ClientSecret),
		"%d": fmt.Sprintf("%d", a.ClientSecret), "%v of a pointer": fmt.Sprintf("%+v", &a),
	} {
		if strings.Contains(text, "s3cret") || strings.Contains(text, fmt.Sprintf("%x", "s3cret")) {
			t.Errorf("%s shows the secret: %s", name, text)
		}
		if !strings.Contains(text, mask) {
			t.Errorf("%s has no %s: %s", name, mask, text)
		}
	}
}

func TestShow_CanBeReadAgain(t *testing.T) {
	example, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: folder(t, map[string]string{"salesforce.key": privateKey(t)})}
	for _, text := range []string{"", string(example), "store: { path: \"a: b # c\", max_size: 1000MB, dedup_window: 90m }\nsocket: {mode: 0600, group: \"123\"}\naccess: {write: [\"yes\", \"@no\"]}\nlimits: {share: 12.5%}\n"} {
		c, err := Parse("c.yaml", []byte(text), o)
		if err != nil {
			t.Fatal(err)
		}
		var shown bytes.Buffer
		if err := c.Show(&shown); err != nil {
			t.Fatal(err)
		}
		again, err := Parse("shown.yaml", shown.Bytes(), o)
		if err != nil {
			t.Fatalf("%v of\n%s", err, shown.String())
		}
		if diff := cmp.Diff(c, again, compareSecrets); diff != "" {
			t.Errorf("%s of\n%s", diff, shown.String())
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1": 1, "512B": 512, "8KiB": 8 << 10, "8 MiB": 8 << 20, "10GiB": 10 << 30, "1TiB": 1 << 40,
		"1kB": 1000, "2MB": 2e6, "3GB": 3e9, "1TB": 1e12, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "+1", "1.5GiB", "1_000", "10gib", "10G", "0x10", "9223372036854775808", "8388608TiB", "1 0"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d", text, got)
		}
	}
}

func TestParsePercent(t *testing.T) {
	for text, want := range map[string]Percent{"0%": 0, "20%": 20, "12.5%": 12.5, "100%": 100, "100 %": 100} {
		if got, err := ParsePercent(text); err != nil || got != want {
			t.Errorf("ParsePercent(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "%", "20", "-1%", "100.1%", "1e1%", "NaN%", "Inf%", ".%", "1.2.3%", "+1%", "0x1p4%"} {
		if got, err := ParsePercent(text); err == nil {
			t.Errorf("ParsePercent(%q) = %v", text, got)
		}
	}
	if got := Percent(20).Of(115000); got != 23000 {
		t.Errorf("20%% of 115000 is %d", got)
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", 168 * time.Hour: "168h", 90 * time.Minute: "1h30m",
		1500 * time.Millisecond: "1.5s", time.Hour + time.Second: "1h0m1s", 20 * time.Second: "20s", 10 * time.Hour: "10h",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%v) = %s, want %s", d, got, want)
		}
	}
}

// FuzzValues: what is written back is read as the same.
func FuzzValues(f *testing.F) {
	for _, text := range []string{"10GiB", "1s..30s", "12.5%", "0660", "1h0m1s", "99999999999999999999TiB", "1s...2s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseSize(text); err == nil {
			if again, err := ParseSize(s.String()); s < 0 || err != nil || again != s {
				t.Errorf("size %q: %d, written %s, read %d, %v", text, s, s, again, err)
			}
		}
		if r, err := ParseRange(text); err == nil {
			if again, err := ParseRange(r.String()); r.Min <= 0 || r.Min > r.Max || err != nil || again != r {
				t.Errorf("range %q: written %s, read %v, %v", text, r, again, err)
			}
		}
		if p, err := ParsePercent(text); err == nil {
			if again, err := ParsePercent(p.String()); p < 0 || p > 100 || err != nil || again != p {
				t.Errorf("percentage %q: written %s, read %v, %v", text, p, again, err)
			}
		}
		var m Mode
		if err := m.parse(text); err == nil {
			again := Mode(1)
			if err := again.parse(m.String()); err != nil || again != m {
				t.Errorf("mode %q: written %s, read %v, %v", text, m, again, err)
			}
		}
	})
}

// FuzzParse: nothing crashes it, every mistake has a place within the file, and
// what it takes is shown in a way that it takes again.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	for _, tt := range bad {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, d := decode("c.yaml", []byte(text))
		d.validate(c) // and no files: their names would be the fuzzer's
		for _, e := range d.found.List {
			if e.What == "" || !within(text, e.Line, e.Column) {
				t.Fatalf("of %q: %+v", text, e)
			}
		}
		if len(d.found.List) > 0 {
			return
		}
		var shown bytes.Buffer
		if err := c.Show(&shown); err != nil {
			t.Fatal(err)
		}
		again, d := decode("shown.yaml", shown.Bytes())
		d.validate(again)
		if len(d.found.List) > 0 {
			t.Fatalf("of %q, shown as\n%s: %v", text, shown.String(), &d.found)
		}
		var twice bytes.Buffer
		if err := again.Show(&twice); err != nil || twice.String() != shown.String() {
			t.Fatalf("of %q, shown as\n%s and\n%s: %v", text, shown.String(), twice.String(), err)
		}
	})
}

// lineBreaks are YAML's, and those that its older version had.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// within reports whether a place is in the text, or right behind one of its lines, as an editor counts or as YAML does.
func within(text string, line, column int) bool {
	for _, t := range []string{text, lineBreaks.Replace(text)} {
		lines := strings.Split(t, "\n")
		if 1 <= line && line <= len(lines) && 1 <= column && column <= len(lines[line-1])+1 {
			return true
		}
	}
	return false
}
