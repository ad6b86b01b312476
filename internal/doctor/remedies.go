package doctor

// Remedy is what to do about a finding with the code, "" of what is no code, or has a remedy for each case.
func Remedy(code string) string { return remedies[code] }

// remedies holds what to do about each code that is not ok. config_invalid and
// login_refused bring their own.
var remedies = map[string]string{
	"config_unreadable": "name the configuration by --config or OUTBOXD_CONFIG, and run this as the daemon's user or as root",
	"config_mode":       "chmod go-w the file; one with secrets in it also go-r, or move them into files of their own (…_file)",
	"not_configured":    "add salesforce to the configuration, see docs/salesforce-setup.md",

	"store_folder":     "make the folder, mode 0700, for the daemon's user; the systemd unit does so by StateDirectory",
	"store_unwritable": "run this as the daemon's user or as root; if it is, chown the folder to that user",
	"store_mode":       "chmod 0700 the folder and 0600 the files: the store holds payloads",
	"socket_folder":    "systemd makes it by RuntimeDirectory when the daemon starts; else make it for the daemon's user",
	"socket_mode":      "put the socket into a folder that only the daemon's user can write",
	"socket_group":     "make the group with groupadd --system, or name another one in socket.group",

	"disk_full":         "free room on the file system: new events are refused with 507 before it is full",
	"disk_small":        "lower store.max_size, or move the store to a larger file system",
	"fs_network":        "move the store to a local disk: locks and syncs of network file systems can't be trusted",
	"fs_stacked":        "put the store on a file system of its own, in a container on a volume: locks and mapped files of this kind can't be trusted",
	"fs_volatile":       "move the store to a disk: this one is memory, and a restart of the host empties it",
	"fs_fast_commit":    "upgrade to Linux 5.17 or newer (5.15.27, 5.10.94), or tune2fs -O ^fast_commit: a power cut could damage the store",
	"fs_no_journal":     "give the file system a journal (tune2fs -j), or move the store",
	"clock_skew":        "keep the clock by NTP, for example with chrony or systemd-timesyncd",
	"org_unreachable":   "check network, DNS, proxy (HTTPS_PROXY) and salesforce.login_url; docs/salesforce-setup.md",
	"login_invalid":     "correct salesforce.auth as the text says",
	"login_not_tried":   "a login uses the refresh token up: run this as the store's owner while the daemon is stopped, or look at outboxd status",
	"api_version":       "set salesforce.api_version to auto, or to one that the org lists",
	"org_changed":       "make sure that this login is meant; then outboxd resume --accept-org",
	"call_refused":      "go by Salesforce's code: outboxd explain CODE",
	"limits_hidden":     "give the integration user the permission View Setup and Configuration to have limits checked",
	"limits_reached":    "wait until the window turns, or find who uses the org's calls; outboxd goes on by itself",
	"api_calls_reserve": "sending pauses until the window turns: lower dispatch.api_budget.reserve, or find who uses the org's calls",
	"api_calls_low":     "find who uses the org's calls, or buy some; outboxd spreads what is left over the day, and pauses at its reserve",
	"bulk_batches":      "jobs wait until the window turns: find who uses the org's bulk batches",
	"data_storage":      "free or buy data storage: creates will be refused with STORAGE_LIMIT_EXCEEDED",

	"object_missing":   "check the name; if it is right, give the integration user Read on the object",
	"object_unknown":   "run this again; if it lasts, the code is explained by outboxd explain",
	"object_create":    "give the integration user Create on the object, if events create its records",
	"object_update":    "give the integration user Edit on the object, if events update or upsert its records",
	"object_read":      "give the integration user Read on the object: outboxd looks records up to settle doubt and to match",
	"fields_read_only": "give the integration user Edit on the fields (field-level security), if events write them",

	"external_id_not_unique": "tick Unique on the field if events upsert by it: without, an upsert may make two records and is not repeated after a lost answer",

	"key_field_recommended":        "add a Text field of 255 characters, external id, unique, case-sensitive, and name it in key_field (docs/salesforce-setup.md)",
	"key_field_missing":            "create the field, or give the integration user Read and Edit on it; docs/salesforce-setup.md",
	"key_field_type":               "make it a field of type Text; outboxd's creates go without it",
	"key_field_short":              "set the field's length to 255: a key may have as many; outboxd's creates go without it",
	"key_field_read_only":          "give the integration user Edit on the field (field-level security); outboxd's creates go without it",
	"key_field_not_external_id":    "tick External ID on the field: creates are not exactly once without",
	"key_field_not_unique":         "tick Unique on the field, and case sensitive: creates are not exactly once without",
	"key_field_not_case_sensitive": "set the field to treat \"ABC\" and \"abc\" as different values: it would refuse keys that differ in letter case, and outboxd's creates go without it",
	"key_field_not_filterable":     "make it a plain Text field, not encrypted: outboxd can't look for a key in it",

	"headers_need_rest": "name a key_field, or set create_via: rest: jobs can't carry these headers, and creates fail with INVALID",
	"duplicate_rules":   "set allow_save for the object if the rules only alert; a rule that blocks refuses the record with DUPLICATES_DETECTED",
}
