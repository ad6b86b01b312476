package salesforce

import (
	"context"
	"errors"
	"fmt"
)

// AuthError is the failure of a login: of the org connection, never of a record. The call that needed the
// token was not sent.
type AuthError struct {
	// Code is the token endpoint's "error", or CodeTransport.
	Code string
	// Description is the token endpoint's "error_description", at most 1 KB.
	Description string
	// Transient: it may pass by itself. Otherwise somebody has to change credentials or set-up.
	Transient bool
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// Err is the cause where there is one.
	Err error
}

// Error tells code and description; neither holds a secret.
func (e *AuthError) Error() string {
	s := "login: " + e.Code
	if e.Status != 0 {
		s = fmt.Sprintf("login: HTTP %d %s", e.Status, e.Code)
	}
	if e.Description != "" {
		s += ": " + e.Description
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause, so that errors.Is finds a context's end or what OnIdentity's function said.
func (e *AuthError) Unwrap() error { return e.Err }

func (e *AuthError) class() Class {
	switch {
	case errors.Is(e.Err, context.Canceled):
		return Retry
	case e.Transient:
		return PauseOrg
	}
	return Auth
}

// Remedy is what a person can do about it, in one line.
func (e *AuthError) Remedy() string {
	for _, r := range loginRemedies {
		if e.Code == r.Code && (r.Says == "" || mentions(e.Description, r.Says)) {
			return r.Do
		}
	}
	if e.Transient {
		return "nothing: it is tried again; if it lasts, check the network and Salesforce's status page"
	}
	return "check the app's and the user's settings in Salesforce's Login History"
}

// LoginRemedy is what a person can do about a login that was refused with Code, and a description that holds Says.
type LoginRemedy struct{ Code, Says, Do string }

// LoginRemedies returns the table that Remedy goes by; of a code, the remedy without Says is for all other descriptions.
func LoginRemedies() []LoginRemedy { return append([]LoginRemedy(nil), loginRemedies...) }

// loginRemedies is searched from the top: the ones with a text stand before the rest of their code.
var loginRemedies = []LoginRemedy{
	{"invalid_grant", "already being processed", "nothing: another login with this refresh token is under way"},
	{"invalid_grant", "rate", "wait an hour; find out who else logs in with this user"},
	{"invalid_grant", "expired authorization code", "check this machine's clock, and audience"},
	{"invalid_grant", "approved this consumer", "pre-authorize the user: app policy \"admin approved users\", and its profile or permission set; check login_url"},
	{"invalid_grant", "audience", "set audience to https://login.salesforce.com, or https://test.salesforce.com for a sandbox"},
	{"invalid_grant", "invalid assertion", "check that private_key_file belongs to the certificate that the app holds"},
	{"invalid_grant", "expired access/refresh token", "authorize the app again and replace the refresh token"},
	{"invalid_grant", "inactive", "activate the user or the org"},
	{"invalid_grant", "ip ", "add this machine's address to the IP ranges of the user's profile or of the app"},
	{"invalid_grant", "client credentials", "enable the client credentials flow of the app and choose its Run As user"},
	{"invalid_grant", "not supported on this domain", "set login_url to the org's My Domain host: login and test don't serve this flow"},
	{"invalid_grant", "", "check the user's name and state, and the app's credentials"},
	{"invalid_client_id", "", "check client_id and login_url; a new app takes some minutes to be known"},
	{"invalid_client", "", "check client_secret"},
	{"invalid_app_access", "", "approve the user for the app: its profile or permission set"},
	{"unsupported_grant_type", "", "enable the flow in the app"},
	{"unknown_error", "", "if it lasts: set login_url to the org's My Domain host"},
	{"UNSUPPORTED_API_VERSION", "", "set api_version to auto, or to one that the org lists"},
	{"INVALID_INSTANCE_URL", "", "check login_url: the answer names a host that is not Salesforce's"},
}
