package salesforce

// Remedies that many codes share.
const (
	fixRecord  = "correct the value with retry, or drop the event"
	fixAccess  = "give the integration user the right, then retry"
	fixLogin   = "correct the credentials or the user in Salesforce; sending resumes at the next probe"
	waits      = "nothing: it is sent again later"
	pauses     = "nothing: sending is paused and resumes by itself"
	smaller    = "nothing at first: it is sent again in smaller batches; if it fails alone, look at the org's automation"
	fixTrigger = "look at the automation that the message names, then retry"
	fixSetup   = "change the org's set-up as the message says, then retry"
	reportBug  = "the request was malformed: please report it"
)

// codeTable is the one table of codes: from the REST guide's error codes, the SOAP API's StatusCode list and what
// public clients met in the field, with this project's judgement. What a code means of a record and
// of a whole call differs where the org answers a call without having touched any record.
var codeTable = []Code{
	// The session and the user.
	{"INVALID_SESSION_ID", Auth, Auth, "the session has expired, was revoked, or is not valid for the API", "nothing at first: outboxd logs in again; if it repeats, check the app's API scope"},
	{"INVALID_AUTH_HEADER", Auth, Auth, "the authorization header was refused", reportBug},
	{"INVALID_LOGIN", Auth, Auth, "wrong user name or credentials", fixLogin},
	{"INVALID_OPERATION_WITH_EXPIRED_PASSWORD", Auth, Auth, "the integration user's password has expired", fixLogin},
	{"PASSWORD_LOCKOUT", Auth, Auth, "the integration user is locked out", "unlock the user; sending resumes at the next probe"},
	{"LOGIN_MUST_USE_SECURITY_TOKEN", Auth, Auth, "the org wants a security token from this address", fixLogin},
	{"LOGIN_CHALLENGE_ISSUED", Auth, Auth, "the org asked for an identity check", fixLogin},
	{"LOGIN_CHALLENGE_PENDING", Auth, Auth, "the org waits for an identity check", fixLogin},
	{"LOGIN_DURING_RESTRICTED_TIME", Auth, Auth, "outside the user's login hours", "wait for the hours, or widen them in the profile"},
	{"LOGIN_DURING_RESTRICTED_DOMAIN", Auth, Auth, "this network address is not in the user's login IP range", "add the address to the profile's range"},
	{"API_DISABLED_FOR_ORG", Auth, Auth, "the edition has no API, or the user lacks API Enabled", "give the user the permission API Enabled"},

	// The org as a whole.
	{"API_CURRENTLY_DISABLED", PauseOrg, PauseOrg, "the API is switched off for the org, for example during a migration", pauses},
	{"REQUEST_LIMIT_EXCEEDED", PauseQuota, PauseQuota, "the org's daily calls are used up, or too many long calls run at once: the message says which", "daily: buy calls or find who uses them; concurrent: nothing, sending slows down"},
	{"SERVER_UNAVAILABLE", Retry, PauseOrg, "the org is overloaded or in maintenance", pauses},
	{"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", PauseOrg, PauseOrg, "the instance is read-only during maintenance", pauses},
	{"INVALID_READ_ONLY_USER_DML", PauseOrg, PauseOrg, "the instance is read-only, or the user is", "if no maintenance is announced, check the user's licence"},
	{"UNSUPPORTED_API_VERSION", PauseOrg, PauseOrg, "the org no longer serves this API version", "set api_version to one that the org lists"},
	{"GONE", PauseOrg, PauseOrg, "the resource or its API version was retired", "set api_version to one that the org lists"},
	{"URL_NOT_RESET", PauseOrg, PauseOrg, "the call went to a login host", "set login_url to the org's My Domain host"},
	{"TOO_MANY_APEX_REQUESTS", Retry, PauseOrg, "too many Apex requests at once", pauses},
	{"EXCEEDEDQUOTA", PauseQuota, PauseQuota, "the org's daily bulk batches are used up", "nothing: jobs are made again when batches come back; if it happens often, find who uses them, or raise bulk.max_records"},
	{"STORAGE_LIMIT_EXCEEDED", Retry, PauseQuota, "the org's data storage is full", "free or buy storage"},
	{"LIMIT_EXCEEDED", Retry, Split, "a limit that the message names was exceeded", waits},
	{"SINGLE_EMAIL_LIMIT_EXCEEDED", Retry, Retry, "an automation sends mail, and the org's daily mails are used up", waits},
	{"MASS_MAIL_LIMIT_EXCEEDED", Retry, Retry, "an automation sends mail, and the org's daily mails are used up", waits},

	// What passes by itself.
	{"UNABLE_TO_LOCK_ROW", Retry, Retry, "another transaction holds the record or its parent", waits},
	{"TOOMANYLOCKFAILURE", Retry, Retry, "a job met too many locks", waits},
	{"RECORD_IN_USE_BY_WORKFLOW", Retry, Retry, "a workflow is using the record", waits},
	{"TERRITORY_REALIGN_IN_PROGRESS", Retry, Retry, "territories are being realigned", waits},
	{"ENTITY_IS_LOCKED", Retry, Retry, "an approval process locks the record", "end the approval, or wait for it"},
	{"QUERY_TIMEOUT", Retry, Ambiguous, "the org ended a call that ran too long", waits},
	{"REQUEST_RUNNING_TOO_LONG", Retry, Ambiguous, "the org ended a call that ran for ten minutes", smaller},
	{"UNKNOWN_EXCEPTION", Retry, Ambiguous, "a fault inside Salesforce; the message holds its ErrorId", "if it repeats, give the ErrorId to Salesforce's support"},
	{"INTERNAL_ERROR", Retry, Ambiguous, "a fault inside Salesforce", waits},
	{"INTERNALSERVERERROR", Retry, Ambiguous, "a fault inside Salesforce's bulk engine", waits},
	{"FUNCTIONALITY_TEMPORARILY_UNAVAILABLE", Retry, Retry, "a part of Salesforce is switched off for a while", waits},
	{"TIMEOUT", Retry, Ambiguous, "a step of a job took too long", waits},
	{"TXN_SECURITY_METERING_ERROR", Retry, Retry, "a transaction security policy was too slow", "exempt the integration user from the policy"},
	{"ALL_OR_NONE_OPERATION_ROLLED_BACK", Retry, Retry, "another record of the call failed", waits},
	{"PROCESSING_HALTED", Retry, Retry, "another part of the call failed first", waits},
	{"BATCH_PROCESSING_HALTED", Retry, Retry, "another part of the batch failed first", waits},
	{"PLATFORM_EVENT_PUBLISHING_UNAVAILABLE", Retry, Retry, "the event bus is not available for a while", waits},
	{"PLATFORM_EVENT_PUBLISH_FAILED", Retry, Retry, "the event could not be published", waits},
	{"PLATFORM_EVENT_ENCRYPTION_ERROR", Retry, Retry, "the event could not be encrypted", waits},

	// What smaller batches cure, or isolate.
	{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Split, Split, "a trigger or flow failed; the message wraps its reason", fixTrigger},
	{"CANNOT_EXECUTE_FLOW_TRIGGER", BadConfig, BadConfig, "a flow failed; the message wraps its reason", fixTrigger},
	{"APEX_ERROR", Split, Split, "custom Apex threw an exception", fixTrigger},
	{"OPERATION_TOO_LARGE", Split, Split, "too much for one call", smaller},
	{"EXCEEDED_ID_LIMIT", Split, Split, "more records than a call takes", smaller},
	{"CLIENTINPUTERROR", Split, Split, "the job's data could not be read", smaller},
	{"INVALIDBATCH", Split, Split, "the job's header or data was refused", "if a column is named, check that the field exists and is visible to the user"},
	{"JSON_PARSER_ERROR", Permanent, Split, "a value does not fit the field's type or format", fixRecord},

	// Rights and metadata: somebody has to change something in the org.
	{"INVALID_FIELD", BadConfig, BadConfig, "the field does not exist, or the user may not see it", "create the field or grant access, then retry; or retry with --unset"},
	{"INVALID_FIELD_FOR_INSERT_UPDATE", BadConfig, BadConfig, "the user may not write the field", fixAccess},
	{"INVALID_TYPE", BadConfig, BadConfig, "the object does not exist, or the user may not see it", fixAccess},
	{"INVALID_TYPE_FOR_OPERATION", BadConfig, BadConfig, "the object does not take this operation", fixSetup},
	{"NOT_FOUND", Permanent, BadConfig, "there is no such record, object or external id field", "check the Id, and that the user may see the object and field"},
	{"INSUFFICIENT_ACCESS", BadConfig, BadConfig, "the user has no right to do this", fixAccess},
	{"INSUFFICIENT_ACCESS_OR_READONLY", BadConfig, BadConfig, "the user may not write this record", fixAccess},
	{"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", BadConfig, BadConfig, "the user has no right to the parent, or to what a trigger touches", fixAccess},
	{"FORBIDDEN", BadConfig, BadConfig, "the user has no right to do this", fixAccess},
	{"TRANSFER_REQUIRES_READ", BadConfig, BadConfig, "the new owner may not read the record", fixAccess},
	{"UNAVAILABLE_RECORDTYPE_EXCEPTION", BadConfig, BadConfig, "the user has no record type for the object", fixAccess},
	{"INVALID_ASSIGNMENT_RULE", BadConfig, BadConfig, "the assignment rule can't be used", fixSetup},
	{"PACKAGE_LICENSE_REQUIRED", BadConfig, BadConfig, "the user has no licence of the package", fixAccess},
	{"LICENSE_LIMIT_EXCEEDED", BadConfig, BadConfig, "no user licence is left", fixSetup},
	{"OP_WITH_INVALID_USER_TYPE_EXCEPTION", BadConfig, BadConfig, "a user of this type can't own or do this", fixSetup},
	{"INACTIVE_OWNER_OR_USER", BadConfig, BadConfig, "the owner is inactive", "activate the owner, or retry with another"},
	{"TXN_SECURITY_NO_ACCESS", BadConfig, BadConfig, "a transaction security policy forbids it", fixSetup},
	{"TXN_SECURITY_RUNTIME_ERROR", BadConfig, BadConfig, "a transaction security policy failed", fixSetup},
	{"MIXED_DML_OPERATION", BadConfig, BadConfig, "set-up objects and others were written in one transaction", fixTrigger},

	// The record as it stands.
	{"REQUIRED_FIELD_MISSING", Permanent, Permanent, "a required field has no value", fixRecord},
	{"MISSING_ARGUMENT", Permanent, Permanent, "the record is not named: no Id or external id", fixRecord},
	{"FIELD_CUSTOM_VALIDATION_EXCEPTION", Permanent, Permanent, "a validation rule of the org refuses the record; the message is its text", fixRecord},
	{"FIELD_FILTER_VALIDATION_EXCEPTION", Permanent, Permanent, "a lookup filter refuses the value", fixRecord},
	{"FIELD_INTEGRITY_EXCEPTION", Permanent, Permanent, "a value contradicts another, or is not of its list", fixRecord},
	{"INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", Permanent, Permanent, "the picklist does not have the value", "add the value to the picklist, or correct it with retry"},
	{"STRING_TOO_LONG", Permanent, Permanent, "the text is longer than the field", fixRecord},
	{"NUMBER_OUTSIDE_VALID_RANGE", Permanent, Permanent, "the number has too many digits for the field", fixRecord},
	{"INVALID_EMAIL_ADDRESS", Permanent, Permanent, "not an e-mail address", fixRecord},
	{"INVALID_CURRENCY_ISO", Permanent, Permanent, "not a currency of the org", fixRecord},
	{"INVALID_TYPE_ON_FIELD_IN_RECORD", Permanent, Permanent, "the value does not fit the field's type", fixRecord},
	{"TEXT_DATA_OUTSIDE_SUPPORTED_CHARSET", Permanent, Permanent, "the text holds characters that the org does not take", fixRecord},
	{"TOO_MANY_ENUM_VALUE", Permanent, Permanent, "more values than a multi-select picklist takes", fixRecord},
	{"MAX_TASK_DESCRIPTION_EXCEEDED", Permanent, Permanent, "the task's description is too long", fixRecord},
	{"INVALID_STATUS", Permanent, Permanent, "the status is not allowed", fixRecord},
	{"INVALID_OPERATION", Permanent, Permanent, "the org does not allow this on the record", fixRecord},
	{"INVALID_OPERATOR", Permanent, Permanent, "the operator is not allowed", fixRecord},
	{"INVALID_INPUT", Permanent, Split, "the input was refused", fixRecord},
	{"INVALID_ARGUMENT_TYPE", Permanent, Split, "the input has a wrong type", fixRecord},
	{"INVALID_BATCH_OPERATION", Permanent, Split, "the batch was refused", fixRecord},
	{"MALFORMED_ID", Permanent, Permanent, "not an Id, or an Id of another object", fixRecord},
	{"INVALID_ID_FIELD", Permanent, Permanent, "not an Id", fixRecord},
	{"INVALID_CROSS_REFERENCE_KEY", Permanent, Permanent, "the record or its parent does not exist, or the user may not see it", "check the Id; retry when the parent is there"},
	{"INVALID_CROSS_REFERENCE_TYPE_FOR_FIELD", Permanent, Permanent, "the parent is of another object than the lookup takes", fixRecord},
	{"ENTITY_IS_DELETED", Permanent, Permanent, "the record is in the recycle bin", "restore it and retry, or drop the event"},
	{"ENTITY_IS_ARCHIVED", Permanent, Permanent, "the record is archived", fixRecord},
	{"ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", Permanent, Permanent, "somebody else changed the record meanwhile", "look at the record, then retry or drop"},
	{"DUPLICATE_VALUE", Permanent, Permanent, "another record has the value of a unique field", "look at the record that the message names, then correct or drop"},
	{"DUPLICATE_EXTERNAL_ID", Permanent, Permanent, "several records have this external id: the field is not unique in the org", "make the field unique, merge the records, then retry"},
	{"DUPLICATES_DETECTED", Permanent, Permanent, "a duplicate rule refuses the record", "merge, or set allow_save for the object if the rule only alerts"},
	{"DUPLICATE_USERNAME", Permanent, Permanent, "the user name is taken", fixRecord},
	{"DUPLICATE_COMM_NICKNAME", Permanent, Permanent, "the nickname is taken", fixRecord},
	{"DUPLICATE_DEVELOPER_NAME", Permanent, Permanent, "the developer name is taken", fixRecord},
	{"PORTAL_USER_ALREADY_EXISTS_FOR_CONTACT", Permanent, Permanent, "the contact has a portal user already", fixRecord},
	{"DELETE_FAILED", Permanent, Permanent, "other records depend on this one", "delete those first, then retry"},
	{"DEPENDENCY_EXISTS", Permanent, Permanent, "other records depend on this one", "delete those first, then retry"},
	{"UNDELETE_FAILED", Permanent, Permanent, "the record can't be restored", fixRecord},
	{"MERGE_FAILED", Permanent, Permanent, "the records can't be merged", fixRecord},
	{"CANNOT_UPDATE_CONVERTED_LEAD", Permanent, Permanent, "the lead was converted", "write to its contact or account, or drop the event"},
	{"CANNOT_REPARENT_RECORD", Permanent, Permanent, "the parent of this record can't be changed", fixRecord},
	{"CIRCULAR_DEPENDENCY", Permanent, Permanent, "the record would become its own ancestor", fixRecord},
	{"SELF_REFERENCE_FROM_TRIGGER", Permanent, Permanent, "a trigger writes the record that it runs for", fixTrigger},
	{"INVALID_PERSON_ACCOUNT_OPERATION", Permanent, Permanent, "not allowed on a person account", fixRecord},
	{"PRIVATE_CONTACT_ON_ASSET", Permanent, Permanent, "an asset can't have a private contact", fixRecord},
	{"STANDARD_PRICE_NOT_DEFINED", Permanent, Permanent, "the product has no standard price", "set the price, then retry"},
	{"INVALID_LINEITEM_CLONE_STATE", Permanent, Permanent, "the line item can't be made in this state", fixRecord},
	{"EMAIL_ADDRESS_BOUNCED", Permanent, Permanent, "an automation sends mail to an address that bounced", fixRecord},
	{"EMAIL_NOT_PROCESSED_DUE_TO_PRIOR_ERROR", Retry, Retry, "an automation's mail failed with another's", waits},

	// Jobs.
	{"INVALIDJOB", BadConfig, BadConfig, "the job's object, operation or external id field was refused", "check the object, and that the field is an external id that the user may see"},
	{"INVALIDENTITY", BadConfig, BadConfig, "the Bulk API does not take this object", "set create_via: rest for the object, or send fewer at a time"},
	{"INVALIDJOBSTATE", Retry, Retry, "the job is in another state than the call needs", waits},
	{"FEATURENOTENABLED", BadConfig, BadConfig, "the Bulk API or hard delete is not enabled for the user", fixAccess},
	{"INVALIDUSER", BadConfig, BadConfig, "the job belongs to another user", fixAccess},
	{"INVALIDOPERATION", BadConfig, BadConfig, "the Bulk API does not take this operation", fixSetup},
	{"API_ERROR", BadConfig, BadConfig, "the bulk call was refused", reportBug},
	{"BULK_API_ERROR", Retry, Retry, "the bulk call was refused", waits},
	{"METHODNOTALLOWED", BadConfig, BadConfig, "the call is not allowed", reportBug},

	// Malformed calls.
	{"METHOD_NOT_ALLOWED", BadConfig, BadConfig, "the resource does not take this method", reportBug},
	{"UNSUPPORTED_MEDIA_TYPE", BadConfig, BadConfig, "the content type was refused", reportBug},
	{"INVALID_CONTENT_TYPE", BadConfig, BadConfig, "the content type was refused", reportBug},
	{"ILLEGAL_QUERY_PARAMETER_VALUE", BadConfig, BadConfig, "a parameter was refused", reportBug},
	{"MALFORMED_QUERY", BadConfig, BadConfig, "the query was refused", reportBug},
	{"INVALID_QUERY_FILTER_OPERATOR", BadConfig, BadConfig, "a field of the query can't be compared so", "match by another field"},
	{"QUERY_TOO_COMPLICATED", Split, Split, "the query is too complicated", smaller},
	{"INVALID_QUERY_LOCATOR", Retry, Retry, "the query's cursor has expired", waits},
}
