package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// validate checks what the tags of single fields can't say.
func (d *decoder) validate(c *Config) {
	if c.Salesforce != nil {
		d.validateSalesforce(c.Salesforce)
	}
	if c.Store.Path == "" {
		d.failAt("store.path", "must not be empty", "name the database file, such as /var/lib/outboxd/outbox.db")
	}
	d.validateSocket(&c.Socket)
	d.validateAccess("access.write", c.Access.Write)
	d.validateAccess("access.read", c.Access.Read)
	d.validateAccess("access.operate", c.Access.Operate)
	d.validateListen("http.listen", c.HTTP.Listen)
	if c.Dispatch.Retry.Initial > c.Dispatch.Retry.Max && !d.wrong["dispatch.retry.max"] {
		d.failAt("dispatch.retry.initial", "longer than dispatch.retry.max, "+formatDuration(c.Dispatch.Retry.Max),
			"make it shorter, or max longer")
	}
	d.validateObjects(c.Objects)
}

func (d *decoder) validateSalesforce(s *Salesforce) {
	d.validateLoginURL(s.LoginURL)
	d.validateVersion(s.APIVersion)
	a := &s.Auth
	if a.Audience != "" {
		if u, err := url.Parse(a.Audience); err != nil || u.Scheme == "" || u.Host == "" {
			d.failAt("salesforce.auth.audience", "not a URL", "write it as https://login.salesforce.com, or leave it out")
		}
	}
	needs := func(key string, missing bool, hint string) {
		if missing {
			d.failAt("salesforce.auth."+key, "required by the flow "+a.Flow, hint)
		}
	}
	secret := func(key string, s Secret, file string) {
		needs(key+"_file", s.IsZero() && file == "", "name the file that holds it")
	}
	if d.wrong["salesforce.auth.flow"] {
		return
	}
	needs("client_id", a.ClientID == "", "give the consumer key of the external client app, or connected app")
	switch a.Flow {
	case "jwt":
		needs("username", a.Username == "", "give the user to log in")
		secret("private_key", a.PrivateKey, a.PrivateKeyFile)
	case "client_credentials":
		secret("client_secret", a.ClientSecret, a.ClientSecretFile)
	case "refresh_token":
		secret("refresh_token", a.RefreshToken, a.RefreshTokenFile)
	}
}

func (d *decoder) validateLoginURL(text string) {
	const key, example = "salesforce.login_url", "write it as https://login.salesforce.com or https://acme.my.salesforce.com"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		d.failAt(key, "not a URL", example)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		d.failAt(key, "must be scheme and host only", example)
	case u.Scheme == "https":
	case u.Scheme != "http":
		d.failAt(key, "must begin with https://", example)
	case !isLoopback(u.Hostname()):
		d.failAt(key, "http is taken for a loopback address only", "use https, or an address such as http://127.0.0.1:8080")
	}
}

// isLoopback takes addresses only: what a name leads to can change.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// Versions of the API that this release knows.
const oldestVersion, newestVersion = 46, 66

func (d *decoder) validateVersion(text string) {
	if text == "auto" {
		return
	}
	const key = "salesforce.api_version"
	number, ok := strings.CutSuffix(text, ".0")
	n, err := parseDigits(number)
	switch {
	case !ok || err != nil || len(number) > 3:
		d.failAt(key, "not a version of the API", `write auto, or a version such as "64.0"`)
	case n < oldestVersion || n > newestVersion:
		d.failAt(key, fmt.Sprintf("this release knows the versions %d.0 to %d.0", oldestVersion, newestVersion), "write auto")
	}
}

func (d *decoder) validateSocket(s *Socket) {
	const longest = 107 // bytes that sun_path has, less the NUL
	switch {
	case s.Path == "":
		d.failAt("socket.path", "must not be empty", "name the socket, such as /run/outboxd/outboxd.sock")
	case len(s.Path) > longest:
		d.failAt("socket.path", fmt.Sprintf("longer than %d bytes, which is all that Unix takes", longest), "choose a shorter folder")
	}
	if strings.ContainsAny(s.Group, " :/@") {
		d.failAt("socket.group", "not the name of a group", "write the name or number of one group")
	}
}

func (d *decoder) validateAccess(key string, entries []string) {
	for i, entry := range entries {
		name := strings.TrimPrefix(entry, "@")
		if name == "" || name == "*" && entry != "*" || strings.ContainsAny(name, "@ \t:/,") {
			d.failAt(key+"["+strconv.Itoa(i)+"]", "names nobody", `write a user, a group as "@name", or "*" for everybody`)
		}
	}
}

func (d *decoder) validateListen(key, address string) {
	if address == "" {
		return
	}
	const hint = "write host and port, such as 127.0.0.1:9464"
	host, port, err := net.SplitHostPort(address)
	if err != nil || strings.ContainsAny(host, " /") {
		d.failAt(key, "not an address", hint)
		return
	}
	if n, err := parseDigits(port); err != nil || n > 65535 {
		d.failAt(key, "not a port", hint)
	}
}

func (d *decoder) validateObjects(objects map[string]Object) {
	seen := make(map[string]string)
	for _, name := range slices.SortedFunc(maps.Keys(objects), d.byPlace) {
		key := "objects." + name
		if !isAPIName(name) {
			d.failAt(key, "not the API name of an object", "write it as Contact or Order__c")
		}
		low := strings.ToLower(name)
		if first, double := seen[low]; double {
			d.failAt(key, "the same object as "+first+": letter case makes no difference", "put both into one")
		}
		seen[low] = name
		if field := objects[name].KeyField; field != "" && !isAPIName(field) {
			d.failAt(key+".key_field", "not the API name of a field", "write it as Outbox_Key__c")
		}
	}
}

// byPlace orders objects as the file does.
func (d *decoder) byPlace(a, b string) int {
	x, y := d.at["objects."+a], d.at["objects."+b]
	if x == nil || y == nil {
		return strings.Compare(a, b)
	}
	return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column), strings.Compare(a, b))
}

// isAPIName says whether name matches ^[A-Za-z][A-Za-z0-9_]*$.
func isAPIName(name string) bool {
	for i, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return name != ""
}
