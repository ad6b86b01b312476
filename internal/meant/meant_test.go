package meant

import (
	"slices"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	known := []string{"fields", "external_id", "Shop_Id__c", "Account", "AccountId", "REQUIRED_FIELD_MISSING", "key"}
	for given, want := range map[string]string{
		"filds": "fields", "feilds": "fields", "FIELDS": "fields", "externalId": "external_id", "external-id": "external_id",
		"Shop_Id": "Shop_Id__c", "shopid__c": "Shop_Id__c", "Acount": "Account AccountId", "accountid": "AccountId Account",
		"required field mising": "REQUIRED_FIELD_MISSING", "kye": "key", "k": "", "ke": "key", "": "", "nothing like it": "",
		strings.Repeat("x", longest+1): "",
	} {
		got := Names(given, slices.Values(known), 2)
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %s", given, got, want)
		}
		first, _, _ := strings.Cut(want, " ")
		if one := Name(given, slices.Values(known)); one != first {
			t.Errorf("%q: %q, want %q", given, one, first)
		}
	}
}
