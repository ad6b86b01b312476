package salesforce

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClassOfRecord(t *testing.T) {
	for _, tt := range []struct {
		code, message string
		want          Class
	}{
		{"UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 200 records: 001", Retry},
		{"STRING_TOO_LONG", "Last Name: data value too large", Permanent},
		{"string_too_long", "", Permanent},
		{"FIELD_CUSTOM_VALIDATION_EXCEPTION", "Zip code cannot be REQUEST_LIMIT_EXCEEDED", Permanent},
		{"INSUFFICIENT_ACCESS_OR_READONLY", "", BadConfig},
		{"INVALID_FIELD", "No such column 'Foo__c' on sobject of type Account", BadConfig},
		{"INVALID_FIELD", "Foreign key external ID: A-17 not found for field Sku__c in entity Item__c", Permanent},
		{"INVALID_FIELD", "Failed to deserialize field at col 3. Due to, '6/15/19' is not a valid value for the type xsd:date", Permanent},
		{"INVALID_FIELD", "Number of fields in header is different from the row. header = 4 row = 3", Permanent},
		{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "MyCoolTrigger: System.LimitException: SBQQ:Too many SOQL queries: 101", Split},
		{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: execution of BeforeInsert caused by: System.DmlException: first error: UNABLE_TO_LOCK_ROW, unable to", Retry},
		{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: first error: FIELD_CUSTOM_VALIDATION_EXCEPTION, no: []", Permanent},
		{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: System.NullPointerException: Attempt to de-reference a null object", Split},
		{"CANNOT_EXECUTE_FLOW_TRIGGER", "Apex CPU time limit exceeded", Split},
		{"CANNOT_EXECUTE_FLOW_TRIGGER", "The flow failed to access the value", BadConfig},
		{"APEX_ERROR", "System.DmlException: UNABLE_TO_LOCK_ROW", Retry},
		{"UNKNOWN_EXCEPTION", "Too many batch retries in the presence of Apex triggers and partial failures.", Split},
		{"UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 1-2 (3)", Retry},
		{"DUPLICATE_VALUE", "duplicate value found: Ext__c duplicates value on record with id: a0A5e000001abcD", Permanent},
		{"DUPLICATE_VALUE", "Duplicate external id specified: a-1", Retry},
		{"REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", PauseQuota},
		{"REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", PauseOrg},
		{"SERVER_UNAVAILABLE", "", Retry},
		{"EXTERNAL_OBJECT_EXCEPTION", "", Retry},
		{"CUSTOM_METADATA_LIMIT_EXCEEDED", "", BadConfig},
		{"NEVER_SEEN_BEFORE", "", Permanent},
		{"", "", Permanent},
	} {
		if got := ClassOfRecord(tt.code, tt.message); got != tt.want {
			t.Errorf("ClassOfRecord(%s, %q) = %v, want %v", tt.code, tt.message, got, tt.want)
		}
	}
}

// A trigger may quote any code. It speaks of what the trigger called: the org
// itself has answered this call.
func TestClassOfRecord_WordsOfATriggerPauseNobody(t *testing.T) {
	for _, wrapper := range []string{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER", "APEX_ERROR"} {
		for _, c := range Codes() {
			switch got := ClassOfRecord(wrapper, "T: execution of BeforeInsert caused by: "+c.Name+", no: []"); got {
			case Auth, PauseOrg, PauseQuota, Ambiguous:
				t.Errorf("%s that quotes %s is %v", wrapper, c.Name, got)
			}
		}
	}
}

func TestCodes_AreCompleteAndNeverAmbiguousOfARecord(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Codes() {
		if seen[c.Name] {
			t.Errorf("%s: twice", c.Name)
		}
		seen[c.Name] = true
		if c.Name != strings.ToUpper(c.Name) || c.Meaning == "" || c.Remedy == "" || c.Class == Ambiguous {
			t.Errorf("%+v: incomplete", c)
		}
		if got, ok := Explain(strings.ToLower(c.Name)); !ok || got != c {
			t.Errorf("Explain(%s) = %+v, %t", c.Name, got, ok)
		}
	}
	if _, ok := Explain("NOPE"); ok {
		t.Error("Explain knows NOPE")
	}
}

// The reference's classes of a record's error, as it groups the codes.
func TestCodes_ClassesAsTheReferenceHasThem(t *testing.T) {
	for class, codes := range map[Class]string{
		Auth: "INVALID_LOGIN INVALID_OPERATION_WITH_EXPIRED_PASSWORD PASSWORD_LOCKOUT LOGIN_MUST_USE_SECURITY_TOKEN LOGIN_CHALLENGE_ISSUED " +
			"LOGIN_CHALLENGE_PENDING API_DISABLED_FOR_ORG",
		PauseOrg: "API_CURRENTLY_DISABLED INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE URL_NOT_RESET UNSUPPORTED_API_VERSION GONE",
		Retry: "UNABLE_TO_LOCK_ROW RECORD_IN_USE_BY_WORKFLOW TERRITORY_REALIGN_IN_PROGRESS ENTITY_IS_LOCKED TXN_SECURITY_METERING_ERROR " +
			"ALL_OR_NONE_OPERATION_ROLLED_BACK PROCESSING_HALTED BATCH_PROCESSING_HALTED QUERY_TIMEOUT REQUEST_RUNNING_TOO_LONG " +
			"FUNCTIONALITY_TEMPORARILY_UNAVAILABLE PLATFORM_EVENT_PUBLISHING_UNAVAILABLE PLATFORM_EVENT_PUBLISH_FAILED",
		Split: "OPERATION_TOO_LARGE EXCEEDED_ID_LIMIT CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY APEX_ERROR",
		BadConfig: "INVALID_FIELD INVALID_FIELD_FOR_INSERT_UPDATE INVALID_TYPE INVALID_TYPE_FOR_OPERATION INSUFFICIENT_ACCESS " +
			"INSUFFICIENT_ACCESS_OR_READONLY INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY FORBIDDEN TRANSFER_REQUIRES_READ " +
			"UNAVAILABLE_RECORDTYPE_EXCEPTION INVALID_ASSIGNMENT_RULE PACKAGE_LICENSE_REQUIRED LICENSE_LIMIT_EXCEEDED " +
			"OP_WITH_INVALID_USER_TYPE_EXCEPTION INACTIVE_OWNER_OR_USER TXN_SECURITY_NO_ACCESS TXN_SECURITY_RUNTIME_ERROR",
		Permanent: "REQUIRED_FIELD_MISSING MISSING_ARGUMENT FIELD_CUSTOM_VALIDATION_EXCEPTION FIELD_FILTER_VALIDATION_EXCEPTION " +
			"FIELD_INTEGRITY_EXCEPTION INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST STRING_TOO_LONG NUMBER_OUTSIDE_VALID_RANGE " +
			"INVALID_EMAIL_ADDRESS INVALID_CURRENCY_ISO INVALID_TYPE_ON_FIELD_IN_RECORD TEXT_DATA_OUTSIDE_SUPPORTED_CHARSET " +
			"TOO_MANY_ENUM_VALUE JSON_PARSER_ERROR MALFORMED_ID INVALID_ID_FIELD INVALID_CROSS_REFERENCE_KEY " +
			"INVALID_CROSS_REFERENCE_TYPE_FOR_FIELD ENTITY_IS_DELETED ENTITY_IS_ARCHIVED DUPLICATE_VALUE DUPLICATE_EXTERNAL_ID " +
			"DUPLICATES_DETECTED DUPLICATE_USERNAME DELETE_FAILED DEPENDENCY_EXISTS UNDELETE_FAILED MERGE_FAILED " +
			"CANNOT_UPDATE_CONVERTED_LEAD CANNOT_REPARENT_RECORD CIRCULAR_DEPENDENCY INVALID_PERSON_ACCOUNT_OPERATION " +
			"MAX_TASK_DESCRIPTION_EXCEEDED STANDARD_PRICE_NOT_DEFINED PRIVATE_CONTACT_ON_ASSET",
	} {
		for code := range strings.FieldsSeq(codes) {
			if got := ClassOfRecord(code, ""); got != class {
				t.Errorf("%s: %v, want %v", code, got, class)
			}
			if _, ok := Explain(code); !ok {
				t.Errorf("%s is not explained", code)
			}
		}
	}
}

func TestLimitKind(t *testing.T) {
	for message, want := range map[string]LimitKind{
		"TotalRequests Limit exceeded.":                                DailyLimit,
		"ConcurrentRequests (Concurrent API Requests) Limit exceeded.": ConcurrentLimit,
		"ConcurrentPerOrgLongTxn Limit exceeded.":                      LongTxnLimit,
		"ConcurrentPerOrgApex Limit exceeded.":                         LongTxnLimit,
		"":                                                             DailyLimit,
	} {
		if got := limitKind("REQUEST_LIMIT_EXCEEDED", message); got != want {
			t.Errorf("limitKind(%q) = %v, want %v", message, got, want)
		}
	}
	if got := limitKind("SERVER_UNAVAILABLE", "ConcurrentRequests"); got != NotLimit {
		t.Errorf("limitKind of another code = %v", got)
	}
}

func TestParseDuplicate(t *testing.T) {
	for _, tt := range []struct {
		message, field string
		id             ID
		ok             bool
	}{
		{"duplicate value found: Record_Key__c duplicates value on record with id: a0524000005wNw0", "Record_Key__c", "a0524000005wNw0AAE", true},
		{"duplicate value found: Ext__c duplicates value on record with id: <unknown>", "Ext__c", "", true},
		{"duplicate value found: <unknown> duplicates value on record with id: <unknown>", "", "", false},
		{"Already a campaign member.", "", "", false},
	} {
		field, id, ok := ParseDuplicate(tt.message)
		if field != tt.field || id != tt.id || ok != tt.ok {
			t.Errorf("ParseDuplicate(%q) = %s, %s, %t, want %s, %s, %t", tt.message, field, id, ok, tt.field, tt.id, tt.ok)
		}
	}
}

func TestParseRowError(t *testing.T) {
	type parts struct {
		Code, Message string
		Fields        []string
	}
	for s, want := range map[string]parts{
		"REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --":                              {"REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", []string{"Name"}},
		"ENTITY_IS_DELETED:entity is deleted:--":                                                          {"ENTITY_IS_DELETED", "entity is deleted", nil},
		"DUPLICATE_VALUE:duplicate value found: Record_Key__c duplicates value on record with id: a05:--": {"DUPLICATE_VALUE", "duplicate value found: Record_Key__c duplicates value on record with id: a05", nil},
		"X_Y:two:A__c,B.C --": {"X_Y", "two", []string{"A__c", "B.C"}},
		"FIELD_CUSTOM_VALIDATION_EXCEPTION:line one\nline: two, three:--":                                   {"FIELD_CUSTOM_VALIDATION_EXCEPTION", "line one\nline: two, three", nil},
		"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY:T: System.LimitException: SBQQ:Too many SOQL queries: 101:--": {"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: System.LimitException: SBQQ:Too many SOQL queries: 101", nil},
		"INVALID_EMAIL_ADDRESS:Email: invalid email address: not a name --":                                 {"INVALID_EMAIL_ADDRESS", "Email: invalid email address: not a name", nil},
		"STORAGE_LIMIT_EXCEEDED":                        {"STORAGE_LIMIT_EXCEEDED", "", nil},
		"STORAGE_LIMIT_EXCEEDED:storage limit exceeded": {"STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", nil},
		"something went wrong: badly":                   {CodeUnknown, "something went wrong: badly", nil},
		"":                                              {CodeUnknown, "", nil},
		":--":                                           {CodeUnknown, ":--", nil},
	} {
		code, message, fields := ParseRowError(s)
		if got := (parts{code, message, fields}); !cmp.Equal(got, want) {
			t.Errorf("ParseRowError(%q): %s", s, cmp.Diff(want, got))
		}
	}
}

// FuzzParseRowError: code, message and fields are pieces of the text, and put together they are read the same.
func FuzzParseRowError(f *testing.F) {
	f.Add("REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --")
	f.Add("A:--")
	f.Add("FIELD_INTEGRITY_EXCEPTION:a: b\r\n, c:A__c, B.C --\n")
	f.Fuzz(func(t *testing.T, s string) {
		code, message, fields := ParseRowError(s)
		if !isCode(code) || code != CodeUnknown && !strings.Contains(s, code) || !strings.Contains(s, message) {
			t.Errorf("ParseRowError(%q) = %q, %q", s, code, message)
		}
		for _, name := range fields {
			if !strings.Contains(s, name) || name == "" {
				t.Errorf("ParseRowError(%q): field %q", s, name)
			}
		}
		if ClassOfRecord(code, message) == Ambiguous {
			t.Errorf("ParseRowError(%q): a record's error that is ambiguous", s)
		}
		again := code + ":" + message + ":" + strings.Join(fields, ",") + " --"
		code2, message2, fields2 := ParseRowError(again)
		if code2 != code || message2 != message || !slices.Equal(fields2, fields) {
			t.Errorf("ParseRowError(%q) = %q, %q, %q, and of %q %q, %q, %q", s, code, message, fields, again, code2, message2, fields2)
		}
	})
}

func TestJob_Fault(t *testing.T) {
	for message, want := range map[string]JobFault{
		"InvalidBatch : Field name not found : ContactId__c":                                      {"INVALIDBATCH", "Field name not found : ContactId__c", "ContactId__c", true},
		"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF": {"CLIENTINPUTERROR", "LineEnding is invalid on user data. Current LineEnding setting is LF", "", true},
		"ExceededQuota : ApiBatchItems Limit exceeded.":                                           {"EXCEEDEDQUOTA", "ApiBatchItems Limit exceeded.", "", false},
		"something": {CodeUnknown, "something", "", false},
		"":          {CodeUnknown, "", "", false},
	} {
		if got := (Job{ErrorMessage: message}).Fault(); got != want {
			t.Errorf("Fault of %q = %+v, want %+v", message, got, want)
		}
	}
}

func TestRecorded_RowLocks(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "recorded", "rest-errors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string]json.RawMessage
	if err := json.Unmarshal(raw, &answers); err != nil {
		t.Fatal(err)
	}
	for name, body := range answers {
		faults, ok := jsonFaults(400, body)
		if !ok || classOfCall(400, faults[0].code(), faults[0].Message) != Retry {
			t.Errorf("%s: %v, %t", name, faults, ok)
		}
	}
}

func TestParseID(t *testing.T) {
	for s, want := range map[string]ID{
		"0015g00000Kp7Qa":    "0015g00000Kp7QaAAJ",
		"0015g00000Kp7QaAAJ": "0015g00000Kp7QaAAJ",
		"00D5e000000abcd":    "00D5e000000abcdEAA",
		"0015g00000Kp7QaAAK": "",
		"0015g00000kp7qaAAJ": "",
		"0015g00000Kp7Q":     "",
		"0015g00000Kp7Q/":    "",
		"0015g00000Kp7QäAJ":  "",
		"":                   "",
	} {
		got, err := ParseID(s)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseID(%q) = %q, %v, want %q", s, got, err, want)
		}
	}
}
