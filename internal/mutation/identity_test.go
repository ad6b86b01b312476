package mutation

// wire: what goes out, and to whom.
var wire = []mutant{
	{
		guard: "redirects are not followed", does: "they are, with the token",
		edits: []edit{{"salesforce/client.go", "&http.Client{Transport: transport, CheckRedirect: refuseRedirect}", "&http.Client{Transport: transport}"}},
		test:  "salesforce TestLogin_TokenGoesToTheInstanceAlone",
	},
	{
		guard: "the token goes to hosts of Salesforce's only", does: "the login's answer names any",
		edits: []edit{{"salesforce/auth.go", "default:\n\t\treturn \"\", fmt.Errorf(\"instance_url %q: not a host", "case false:\n\t\treturn \"\", fmt.Errorf(\"instance_url %q: not a host"}},
		test:  "salesforce TestLogin_InstanceMustBeSalesforces",
	},
	{
		guard: "the next page of a query stays at the org", does: "the answer names any place",
		edits: []edit{{"salesforce/query.go", "!isDataPath(page.NextRecordsURL)", "page.NextRecordsURL == \"\""}},
		test:  "salesforce TestQuery_NextPageStaysAtTheOrg",
	},
	{
		guard: "no Idempotency-Key goes out: Go would repeat writes by itself", does: "each write has one",
		edits: []edit{{"salesforce/call.go", "\tif k.write {\n\t\th.Set(\"Sforce-Mru\"", "\tif k.write {\n\t\th.Set(\"Idempotency-Key\", \"1\")\n\t\th.Set(\"Sforce-Mru\""}},
		test:  "salesforce TestWrite_IsNoneThatGoRepeats",
	},
	{
		guard: "only Salesforce's own 404 says that a job is gone", does: "any 404 does",
		edits: []edit{{"salesforce/errors.go", "return ok && e.own && e.Status == 404", "return ok && e.Status == 404"}},
		test:  "salesforce TestIsNotFound_OfSalesforcesOwnOnly",
	},
}

// identity: the right org, one holder, the newest store (I8).
var identity = []mutant{
	{
		guard: "another org's token is refused before its use", does: "it is used",
		edits: []edit{{"dispatcher/loop.go", "case facts.OtherOrg != \"\" || facts.Orgs != d.orgs:", "case facts.Orgs != d.orgs:"}},
		test:  "dispatcher TestOtherOrg",
	},
	{
		guard: "another org waits for the operator", does: "resume alone accepts it",
		edits: []edit{{"store/facts.go", "if f.OtherOrg != \"\" && !a.Org {", "if f.OtherOrg != \"\" && !a.Org && f.OrgID == \"\" {"}},
		test:  "store TestConformance/SetOrg_AnotherNeedsTheOperator",
	},
	{
		guard: "no attempt at an org of before is gone on with", does: "its job is looked for at the new one",
		edits: []edit{{"dispatcher/recover.go", "case a.Orgs != d.orgs:", "case a.Orgs < 0:"}},
		test:  "dispatcher TestOtherOrg_WhatIsOfTheOldOne",
	},
	{
		guard: "nor is an Id of it written", does: "$id_of puts it in",
		edits: []edit{{"dispatcher/prepare.go", "case other.OtherOrg:", "case other.OtherOrg && other.ID == \"\":"}},
		test:  "dispatcher TestOtherOrg_WhatIsOfTheOldOne",
	},
	{
		guard: "nor is what a match has found there", does: "it is written to at the new one",
		edits: []edit{{"store/claim.go", "return n != nil && n.Located && n.Orgs == s.facts.Orgs", "return n != nil && n.Located"}},
		test:  "store TestConformance/Resume_WhatWasFoundAtTheOldOrgIsForgotten",
	},
	{
		guard: "who lost the outbox changes nothing any more", does: "terms are not compared",
		edits: []edit{{"store/attempt.go", "if t.gen == 0 || t.gen != s.term.Load() {", "if t.gen == 0 {"}},
		test:  "store TestConformance/Term_ALaterHoldFencesEveryMethod",
	},
	{
		guard: "who lost the outbox stops", does: "it waits for the store to come back",
		edits: []edit{{"dispatcher/dispatcher.go", "return errors.Is(err, store.ErrUnknown) ||", "return errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrUnknown) ||"}},
		test:  "dispatcher TestFenced/create_by_job/Settle",
	},
	{
		guard: "a transaction of unknown outcome is repeated before anything else", does: "the dispatcher gives up",
		edits: []edit{{"dispatcher/dispatcher.go", "return errors.Is(err, store.ErrUnknown) ||", "return "}},
		test:  "dispatcher TestStoreFaults/create_by_job/Settle/unknown",
	},
	{
		guard: "a store that was put in place is noticed", does: "generations are not compared",
		edits: []edit{{"store/startup.go", "restored := num.Generation != \"\" &&", "restored := num.Generation == \"-\" &&"}},
		test:  "store TestOpen_ARestoredStoreIsNoticed",
	},
	{
		guard: "also when its first start fails", does: "that start makes it the one that ran here last",
		edits: []edit{{"store/startup.go", "\t} else {\n\t\tbeside.Generation = num.Generation\n\t}\n", "\t}\n\tbeside.Generation = num.Generation\n"}},
		test:  "store TestStart_RestoredStaysKnownWhenTheStartFails",
	},
	{
		guard: "a restored store sends nothing before it is accepted", does: "it goes on at once",
		edits: []edit{{"dispatcher/loop.go", "case f.Restored:", "case f.Restored && f.Paused:"}},
		test:  "dispatcher TestRestored",
	},
	{
		guard: "what a restored store calls pending counts as sent", does: "it counts as new",
		edits: []edit{{"store/facts.go", "t.num.SentBelow = t.num.Next", "t.num.SentBelow = 0"}},
		test:  "store TestOpen_ARestoredStoreIsNoticed",
	},
	{
		guard: "what counts as sent and can't be repeated is in doubt", does: "it is sent",
		edits: []edit{{"dispatcher/prepare.go", "case r.Sent && !b.repeats(r):", "case r.Sent && !b.repeats(r) && b.late:"}},
		test:  "dispatcher TestRestored",
	},
}

// files: the store's file and what stands beside it.
var files = []mutant{
	{
		guard: "the lock is beside the store, not on it", does: "only bbolt's own lock is taken",
		edits: []edit{{"store/startup.go", "if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {", "if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {"}},
		test:  "store TestOpen_LockSurvivesARename",
	},
	{
		guard: "the meta pages are written again at each start", does: "they are left as they are",
		edits: []edit{{"store/startup.go", "if _, err := f.WriteAt(pages, 0); err != nil {", "if err := error(nil); err != nil {"}},
		test:  "store TestSettleMeta_WritesTheMetaPagesAgain",
	},
	{
		guard: "a file that is shorter than its meta page says is refused", does: "bbolt opens it",
		edits: []edit{{"store/startup.go", "size < need {", "size < 0*need {"}},
		test:  "store TestOpen_RefusesAShortFile",
	},
	{
		guard: "a store of a newer format is refused", does: "it is opened",
		edits: []edit{{"store/store.go", "len(v) != 1 || v[0] > formatVersion", "len(v) != 1"}},
		test:  "store TestOpen_RefusesDamagedFiles/of_a_newer_format",
	},
	{
		guard: "a store that is gone is not begun anew", does: "an empty one takes its place",
		edits: []edit{{"store/startup.go", "case errors.Is(err, os.ErrNotExist) && known:", "case errors.Is(err, os.ErrNotExist) && known && err == nil:"}},
		test:  "store TestOpen_RefusesDamagedFiles/removed",
	},
}
