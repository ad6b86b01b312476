package mutation

// calls: REST requests and what their answers mean (P2, P7).
var calls = []mutant{
	{
		guard: "an error that nobody knows is ambiguous", does: "it proves that nothing was written",
		edits: []edit{{"salesforce/errors.go", "\t\treturn e.Class\n\t}\n\treturn Ambiguous\n", "\t\treturn e.Class\n\t}\n\treturn Retry\n"}},
		test:  "salesforce TestClassOf_WhatItDoesNotKnowIsAmbiguous",
	},
	{
		guard: "a write without an answer is ambiguous", does: "it counts as not sent",
		edits: []edit{{"salesforce/call.go", "case k.write && !nothingLeft:", "case k.write && !nothingLeft && k.timeout < 0:"}},
		test:  "salesforce TestWrite_TimeoutIsAmbiguous",
	},
	{
		guard: "only Salesforce's own error proves that nothing was written", does: "any error page does",
		edits: []edit{{"salesforce/answer.go", "\tcase c.write:\n\t\treturn Ambiguous\n", "\tcase c.write && status < 300:\n\t\treturn Ambiguous\n"}},
		test:  "salesforce TestWrite_WhatItsEndProves",
	},
	{
		guard: "a 401 of a proxy replays no write", does: "the write is sent again after a new login",
		edits: []edit{{"salesforce/call.go", "return !k.write", "return true"}},
		test:  "salesforce TestCall_401ThatNoLoginCures",
	},
	{
		guard: "items are as many as were sent", does: "a shorter answer tells of the first ones",
		edits: []edit{{"salesforce/collections.go", "if len(list) != n {", "if len(list) > n {"}},
		test:  "salesforce TestWrite_WhatItsEndProves",
	},
	{
		guard: "the dispatcher counts the answers too", does: "records without an answer count as refused",
		edits: []edit{{"dispatcher/rest.go", "\tif err == nil && len(answers) != len(rows) {", "\tfor err == nil && len(answers) < len(rows) {\n\t\tanswers = append(answers, salesforce.Result{Code: \"STRING_TOO_LONG\"})\n\t}\n\tif err == nil && len(answers) != len(rows) {"}},
		test:  "dispatcher TestFewerAnswersThanRecords",
	},
	{
		guard: "an ambiguous create without key_field is in doubt", does: "it is sent again",
		edits: []edit{{"dispatcher/outcome.go", "o := j.doubt(r, p)\n\tif j.idempotent {", "o := j.doubt(r, p)\n\tif j.idempotent || true {"}},
		test:  "dispatcher TestJudge_Answer",
	},
	{
		guard: "what a start finds of a call may have been sent", does: "it counts as not sent",
		edits: []edit{{"dispatcher/prepare.go", "if when == found {\n\t\t\tc = sentBy", "if when == gone {\n\t\t\tc = sentBy"}},
		test:  "dispatcher TestRestart_WhatMayHaveBeenSentIsInDoubt",
	},
	{
		guard: "an upsert by a field that is not unique can't be repeated", does: "an external id is enough",
		edits: []edit{{"dispatcher/prepare.go", "f.Unique && (f.ExternalID || f.IDLookup)), \"\"", "(f.ExternalID || f.IDLookup)), \"\""}},
		test:  "dispatcher TestRepeatable",
	},
	{
		guard: "a key_field that is not unique makes nothing idempotent", does: "an external id is enough",
		edits: []edit{{"dispatcher/prepare.go", "idempotent = f.Unique && f.ExternalID && f.CaseSensitive", "idempotent = f.ExternalID && f.CaseSensitive"}},
		test:  "dispatcher TestRepeatable",
	},
	{
		guard: "one that folds case is not used at all", does: "it is used",
		edits: []edit{{"dispatcher/prepare.go", "if f.Unique && !f.CaseSensitive {", "if f.Unique && !f.CaseSensitive && !ok {"}},
		test:  "dispatcher TestRepeatable",
	},
	{
		guard: "DUPLICATE_VALUE of its key is a delivery only if it was sent before", does: "it always is",
		edits: []edit{{"dispatcher/outcome.go", "if r.Sent || j.retried {", "if r.Sent || j.retried || p.Code != \"\" {"}},
		test:  "dispatcher TestKeyExists",
	},
	{
		guard: "and only if it names key_field", does: "any field will do",
		edits: []edit{{"dispatcher/outcome.go", `a.Code == "DUPLICATE_VALUE" && blames(a, j.keyField)`, `a.Code == "DUPLICATE_VALUE"`}},
		test:  "dispatcher TestJudge_Answer",
	},
	{
		guard: "already deleted is done only if it was sent before", does: "it always is",
		edits: []edit{{"dispatcher/outcome.go", "(!r.Sent || r.OtherOrg) && !j.retried {\n\t\treturn false", "code == \"\" {\n\t\treturn false"}},
		test:  "dispatcher TestJudge_Answer",
	},
	{
		guard: "a repeat is safe by the field that carried the key then", does: "today's key_field is trusted",
		edits: []edit{{"dispatcher/prepare.go", "return b.idempotent && strings.EqualFold(r.SentKey, b.keyField)", "return b.idempotent"}},
		test:  "dispatcher TestKeyField_ChangedBetweenSendings",
	},
	{
		guard: "a failure at the limit of attempts stays sent", does: "the sending is forgotten",
		edits: []edit{{"dispatcher/outcome.go", "\to.Sent, o.SentKey, o.OtherOrg = true, j.keyField, false\n\treturn o", "\tif o.Verdict == store.Again {\n\t\to.Sent, o.SentKey = true, j.keyField\n\t}\n\treturn o"}},
		test:  "dispatcher TestAmbiguous_AtTheLimitStaysSent",
	},
	{
		guard: "a failed event keeps that it was sent", does: "the store forgets it",
		edits: []edit{{"store/settle.go", "\tn.travelled(a)\n\tt.sent(a, o, h, n)\n\tn.Matches", "\tn.travelled(a)\n\tn.Sent = n.Sent || o.Verdict == Doubt\n\tn.Matches"}},
		test:  "store TestConformance/Settle_AFailureStaysSent",
	},
	{
		guard: "a create that was sent is looked for before it is repeated", does: "the unique field is relied on",
		edits: []edit{{"dispatcher/match.go", "case r.Sent && there:", "case r.Sent && there && err != nil:"}},
		test:  "dispatcher TestConfirm_ADeletedRecordIsDelivered",
	},
	{
		guard: "and among the deleted records", does: "they are not asked for",
		edits: []edit{{"dispatcher/match.go", "d.org.Query(ctx, soql, true, 4*len(keys)+100)", "d.org.Query(ctx, soql, false, 4*len(keys)+100)"}},
		test:  "dispatcher TestConfirm_ADeletedRecordIsDelivered",
	},
	{
		guard: "one that can't be looked for is not sent", does: "it is sent all the same",
		edits: []edit{{"dispatcher/match.go", "case r.Sent && err != nil:\n\t\t\tb.settled = append(b.settled, b.unasked(r, err))", "case r.Sent && err != nil:\n\t\t\tkept = append(kept, r)"}},
		test:  "dispatcher TestConfirm_WhatCantBeLookedForIsNotSent",
	},
	{
		guard: "a record that was found by a match is stored before the write", does: "a repeat looks again",
		edits: []edit{{"store/settle.go", "n.Located, n.Route, n.Target = true, route, o.Target", "n.Located, n.Route, n.Target = true, route, \"\""}},
		test:  "store TestConformance/Settle_RerouteKeepsTheTarget",
	},
	{
		guard: "and a match is not asked again for what may have been sent", does: "a restored event is looked for anew",
		edits: []edit{{"dispatcher/lookup.go", "case s.Sent:", "case s.Sent && s.Key == \"\":"}},
		test:  "dispatcher TestRestored_AMatchIsNotAskedAgain",
	},
	{
		guard: "rows that are not all prove no absence", does: "who has none among them is told that there is none",
		edits: []edit{{"dispatcher/lookup.go", "whole := !more && len(rows) < rowsOfQuery", "whole := !more || more"}},
		test:  "dispatcher TestMatch_ManyShareAValue",
	},
	{
		guard: "a row that several may have asked for is nobody's until each has asked alone", does: "it is the first one's",
		edits: []edit{{"dispatcher/lookup.go", "case len(meant) > 1:", "case len(meant) > 1 && id == \"\":"}},
		test:  "dispatcher TestLookFor_AsOneByOne",
	},
	{
		guard: "a row that nobody can have asked for shows that the org compares otherwise", does: "it is overlooked",
		edits: []edit{{"dispatcher/lookup.go", "case len(meant) == 0 || id == \"\":\n\t\t\treturn nil, false", "case len(meant) == 0 || id == \"\":\n\t\t\tcontinue"}},
		test:  "dispatcher TestLookFor_AnOrgThatComparesOtherwise",
	},
	{
		guard: "accents, widths and ligatures are the org's matter", does: "they are left out of the comparison",
		edits: []edit{{"dispatcher/mark.go", "b = append(b, gap)", "continue"}},
		test:  "dispatcher TestAttribute_WhateverTheOrgTakesForEqual",
	},
	{
		guard: "a match that the org refuses fails alone", does: "with all that were asked for by one query",
		edits: []edit{{"dispatcher/lookup.go", "return halves(group), nil // until what it is about is alone", "for _, s := range group {\n\t\t\tb.settled = append(b.settled, b.fail(s.record, problemOf(err)))\n\t\t}\n\t\treturn nil, nil"}},
		test:  "dispatcher TestMatch_PoisonFailsAlone",
	},
	{
		guard: "an outcome is recorded once", does: "a repeated call records it again",
		edits: []edit{{"store/settle.go", "if t.s.inflight[o.Seq] != a || ended[o.Seq] {", "if t.s.inflight[o.Seq] == nil || ended[o.Seq] {"}},
		test:  "store TestConformance/Settle_OnlyItsOwnEvents",
	},
	{
		guard: "an org that is away charges nobody", does: "each event is charged an attempt",
		edits: []edit{{"dispatcher/rest.go", "case speaksOfOrg(err), errors.Is(err, context.Canceled), errors.Is(err, errOtherOrg):", "case errors.Is(err, context.Canceled), errors.Is(err, errOtherOrg):\n\t\treturn d.giveBack(ctx, b, err.Error())\n\tcase speaksOfOrg(err):\n\t\tclass = salesforce.Retry\n\tcase class < 0:"}},
		test:  "dispatcher TestBreaker_ChargesNobody",
	},
	{
		guard: "nor does a row that speaks of the org", does: "it is charged an attempt",
		edits: []edit{{"dispatcher/outcome.go", "case salesforce.Auth, salesforce.PauseOrg, salesforce.PauseQuota:\n\t\to := j.unsent(r)", "case salesforce.Auth, salesforce.PauseOrg, salesforce.PauseQuota:\n\t\to := j.retry(r, p)"}},
		test:  "dispatcher TestJudge_Answer",
	},
	{
		guard: "words within a row's error pause no org", does: "a trigger that quotes a limit stops everything",
		edits: []edit{{"salesforce/codes.go", "return Split, true // of what the automation called", "return c.Class, true // of what the automation called"}},
		test:  "salesforce TestClassOfRecord_WordsOfATriggerPauseNobody",
	},
	{
		guard: "each record has its own outcome (P5)", does: "a job that is complete is a success of all",
		edits: []edit{{"dispatcher/results.go", "Success: r.set == succeeded,", "Success: r.set != unprocessed,"}},
		test:  "dispatcher TestRowFaults/create_by_job",
	},
	{
		guard: "a call's refusal is of all its records only where the org's description says so too (P6)", does: "a code is enough",
		edits: []edit{{"dispatcher/rest.go", "case class == salesforce.BadConfig && d.ofRoute(ctx, b.route):", "case class == salesforce.BadConfig && (d.ofRoute(ctx, b.route) || p.Code != \"\"):"}},
		test:  "dispatcher TestPoison_OfACallThatIsRefusedAsAWhole/404_NOT_FOUND/upserts_by_REST",
	},
	{
		guard: "who makes calls end without a word takes nobody along (P6)", does: "all of the call use up their attempts",
		edits: []edit{{"dispatcher/outcome.go", "if !j.oneToBlame || j.size <= 1 {", "if j.size > 0 {"}},
		test:  "dispatcher TestPoison_OfACallThatPassesNever/no_answer/upserts_by_REST/1",
	},
	{
		guard: "a delete hits no record of another object than the event names", does: "the org is given any Id",
		edits: []edit{{"dispatcher/prepare.go", "if b.schema == nil || b.schema.KeyPrefix == \"\" ||", "if b.schema != nil || b.schema.KeyPrefix == \"\" ||"}},
		test:  "dispatcher TestPoison_OfIDs/of_another_object/deletes_by_REST",
	},
	{
		guard: "no row is to blame for a job that is not made", does: "an answer that nobody knows fails its events",
		edits: []edit{{"dispatcher/bulk.go", "!j.ways.rest && !(known && ofRoute) {", "!j.ways.rest && known && ofRoute {"}},
		test:  "dispatcher TestRefusal_OfAJobsCreation/400_SOMETHING_NEW",
	},
	{
		guard: "no Id is guessed", does: "one of several equal rows gives its Id",
		edits: []edit{{"dispatcher/results.go", "\tif shared {\n\t\ta.ID = \"\"\n\t}\n", ""}},
		test:  "dispatcher TestGarbledEcho/false",
	},
	{
		guard: "what a call was sent of is claimed before (T1 before N1)", does: "events are claimed in memory alone",
		edits: []edit{{"dispatcher/rest.go", "\tcrashpoint(\"R.N1.before\")\n", "\tcrashpoint(\"R.N1.before\")\n\t_ = d.release(ctx, a, errPaused)\n"}},
		test:  "dispatcher TestREST_TheClaimIsStoredBeforeTheCall",
	},
	{
		guard: "a create's own duplicate is named before it is delivered", does: "it is delivered without its Id where the org can't be asked",
		edits: []edit{{"dispatcher/match.go", "if err == nil || isRefusal(err) && !speaksOfOrg(err) {\n\t\t\toutcomes", "if err == nil || err != nil {\n\t\t\toutcomes"}},
		test:  "dispatcher TestNamed_WhatCantBeNamedIsNotGivenUp",
	},
	{
		guard: "what is in flight is not dropped", does: "the operator may drop it",
		edits: []edit{{"store/operator.go", "if x.state != Failed && x.state != Pending {", "if x.state != Failed && x.state != Pending && x.state != Inflight {"}},
		test:  "store TestConformance/Moves_OnlyFromTheirStates",
	},
	{
		guard: "a sending is never forgotten", does: "the newest try alone counts",
		edits: []edit{{"store/settle.go", "\tif !o.Sent && o.Verdict != Doubt {\n\t\treturn\n\t}\n", "\tif !o.Sent && o.Verdict != Doubt {\n\t\tn.Sent = false\n\t\treturn\n\t}\n"}},
		test:  "store TestConformance/Settle_SentIsNeverForgotten",
	},
	{
		guard: "nor by a start without an org", does: "what is put back counts as new",
		edits: []edit{{"dispatcher/recover.go", "late: a.Kind == store.KindREST && a.Starts > 0}}", "late: false}}"}},
		test:  "dispatcher TestNotConfigured_WhatMayHaveBeenSentStaysSent",
	},
	{
		guard: "nor by a pause", does: "what is given back counts as new",
		edits: []edit{{"dispatcher/rest.go", "\tif !b.late {\n\t\treturn d.release", "\tif !b.late || b.late {\n\t\treturn d.release"}},
		test:  "dispatcher TestPause_WhatMayHaveBeenSentStaysSent",
	},
	{
		guard: "nor when a call is taken apart", does: "its events count as new",
		edits: []edit{{"dispatcher/recover.go", "object: d.config().object(a.Route.Object), late: a.Kind == store.KindREST}}", "object: d.config().object(a.Route.Object)}}"}},
		test:  "dispatcher TestCrashLoop_WhatMayHaveBeenSentStaysSent",
	},
	{
		guard: "a create that can't be repeated goes by a job", does: "REST takes a few",
		edits: []edit{{"dispatcher/plan.go", "w = ways{rest: o.CreateREST, job: !o.CreateREST}", "w = ways{rest: true, job: !o.CreateREST}"}},
		test:  "dispatcher TestWaysOf",
	},
	{
		guard: "what is in flight does not expire", does: "it is failed",
		edits: []edit{{"store/expire.go", "if x.state != Pending || x.n.NoExpiry {", "if x.state != Pending && x.state != Inflight || x.n.NoExpiry {"}},
		test:  "store TestConformance/Sweep_ExpiresWhatIsNotInFlight",
	},
	{
		guard: "no age grows while nothing is sent", does: "pauses count",
		edits: []edit{{"store/clock.go", "\tif c.idling {\n\t\treturn c.idledAt - c.idle\n\t}\n\treturn now - c.idle\n", "\treturn now\n"}},
		test:  "store TestConformance/Stuck_PausesDoNotCount",
	},
	{
		guard: "absence is believed after the late window", does: "it is believed at the second look",
		edits: []edit{{"dispatcher/verify.go", "return age >= late && ", "return age > 0 && "}},
		test:  "dispatcher TestVerifier_BelievesAbsenceLateAndNotTooLate",
	},
	{
		guard: "an attempt's calls are set aside before it begins", does: "they are not",
		edits: []edit{{"dispatcher/budget.go", "	b.promised += cost\n", "	b.promised += 0 * cost\n"}},
		test:  "dispatcher TestBudget_CallsAreSetAside",
	},
	{
		guard: "no attempt is begun without its calls", does: "a job needs a call that is left, not all of them",
		edits: []edit{{"dispatcher/budget.go", "f.tokens >= 1 && f.left >= cost", "f.tokens >= 1 && f.left >= 1 || cost < 0"}},
		test:  "dispatcher TestPlan",
	},
	{
		guard: "calls are begun no faster than can be kept up", does: "all that are left may be begun",
		edits: []edit{{"dispatcher/budget.go", "b.tokens-float64(b.promised)", "float64(f.left)"}},
		test:  "dispatcher TestBudget_HalfAtOnceTheRestIsSpread",
	},
	{
		guard: "a burst does not come back a day later", does: "what is left is divided by a day",
		edits: []edit{{"dispatcher/window.go", "rate = min(rate, have/(float64(i)*windowStep.Seconds()))", "rate = have / (windowSpan.Seconds() + 0*float64(i))"}},
		test:  "dispatcher TestWindow_KeepsUp",
	},
	{
		guard: "calls come back a day after they were made", does: "they come back a step before",
		edits: []edit{{"dispatcher/window.go", "windowSteps = int64(windowSpan/windowStep) + 1", "windowSteps = int64(windowSpan/windowStep) - 1"}},
		test:  "dispatcher TestWindow_CallsComeBackAfterADay",
	},
	{
		guard: "no job is made of the batches that are kept for others", does: "it is",
		edits: []edit{{"dispatcher/budget.go", "b.batches.Left() <= 0", "b.batches.Left() <= -b.batches.Reserve"}},
		test:  "dispatcher TestBudget_OutOfBatches",
	},
	{
		guard: "jobs wait at the start until the org has said its limits", does: "they do not",
		edits: []edit{{"dispatcher/plan.go", "!s.noJobs && !s.notYet && ", "!s.noJobs && "}},
		test:  "dispatcher TestPlan",
	},
	{
		guard: "an org without a batch for a job is not taken for one that is away", does: "it opens the breaker",
		edits: []edit{{"dispatcher/loop.go", "		d.breaker.report(a, nil) // REST can go on\n", "		d.breaker.report(a, err)\n"}},
		test:  "dispatcher TestBudget_BatchesThatTheOrgRefuses",
	},
	{
		guard: "and while a deleted record can be seen", does: "it is believed for ever",
		edits: []edit{{"dispatcher/verify.go", " && visible(r.FirstSent)", ""}},
		test:  "dispatcher TestVerifier_BelievesAbsenceLateAndNotTooLate",
	},
	{
		guard: "of its first sending", does: "the newest attempt counts, sent or not",
		edits: []edit{{"store/settle.go", "case !n.Sent:\n\t\tn.First =", "default:\n\t\tn.First ="}},
		test:  "store TestConformance/Settle_TheFirstSendingIsKept",
	},
	{
		guard: "a create is not repeated once a deleted record can't be seen any more", does: "what is not found was never written",
		edits: []edit{{"dispatcher/match.go", "case r.Sent && !visible(r.FirstSent):", "case r.Sent && r.FirstSent.IsZero() && r.Restored:"}},
		test:  "dispatcher TestConfirm_AbsenceIsBelievedWhileADeletedRecordCanBeSeen",
	},
	{
		guard: "what a sending was recognised by stays", does: "an attempt that sent nothing renews it",
		edits: []edit{{"dispatcher/outcome.go", "if !c.Sent || c.Restored {\n\t\tc.SentKey", "{\n\t\tc.SentKey"}},
		test:  "dispatcher TestSentKey_StaysThatOfTheFirstSending",
	},
	{
		guard: "what was sent and is refused now before the call is in doubt", does: "it counts as failed",
		edits: []edit{{"dispatcher/prepare.go", "if (b.late || r.Sent) && !b.repeats(r) {", "if b.late && !b.repeats(r) {"}},
		test:  "dispatcher TestUnfit_WhatWasSentBeforeIsInDoubt",
	},
	{
		guard: "a create that was there before its edit is not delivered", does: "its key is enough",
		edits: []edit{{"dispatcher/match.go", "case r.Sent && there && r.Stale:", "case r.Sent && there && r.Stale && id == \"\":"}},
		test:  "dispatcher TestEdit_OfACreateThatWasSent",
	},
	{
		guard: "an edit waits until what it replaces can't arrive any more", does: "it is due at once",
		edits: []edit{{"store/operator.go", "due = max(due, t.heldUntil(x))", "due = max(due, 0)"}},
		test:  "store TestConformance/Retry_AnEditWaitsForTheLateWindow",
	},
	{
		guard: "followers wait for what a restored outbox sent", does: "its late window is over",
		edits: []edit{{"dispatcher/outcome.go", "case r.Restored:\n\t\to.Hold = j.echo", "case r.Restored:\n\t\to.Hold = 0"}},
		test:  "dispatcher TestRestored_FollowersWaitForWhatMayStillArrive",
	},
	{
		guard: "nothing of a restored outbox expires before it is accepted", does: "it does",
		edits: []edit{{"store/expire.go", "if t.facts.Restored {", "if t.facts.Restored && t.wall == 0 {"}},
		test:  "dispatcher TestRestored_ExpiryWaitsForTheOperator",
	},
	{
		guard: "gone already at this org is not the doing of another one", does: "any sending will do",
		edits: []edit{{"dispatcher/outcome.go", "(!r.Sent || r.OtherOrg) && !j.retried", "!r.Sent && !j.retried"}},
		test:  "dispatcher TestOtherOrg_ADeleteThereIsNoneHere",
	},
	{
		guard: "and stays so until it is sent here", does: "any attempt here counts",
		edits: []edit{{"store/settle.go", "n.OtherOrg = n.OtherOrg || n.Sent", "n.OtherOrg = false"}, {"store/settle.go", "n.SentKey, n.OtherOrg = o.SentKey, o.OtherOrg", "n.SentKey = o.SentKey"}},
		test:  "store TestConformance/Resume_WhatWasSentToTheOldOrgOnly",
	},
	{
		guard: "and only of a unique field", does: "any field that carried the key will do",
		edits: []edit{{"dispatcher/verify.go", "unique := f.Unique && f.ExternalID && f.CaseSensitive", "unique := true"}},
		test:  "dispatcher TestVerify_AbsenceFromAFieldThatIsNotUniqueProvesNothing",
	},
	{
		guard: "what merely looks like it concludes nothing", does: "one that looks like it is taken for it",
		edits: []edit{{"dispatcher/verify.go", "store.Resolution{Open: true, Matches: ids}", "store.Resolution{Delivered: true, ID: ids[0]}"}},
		test:  "dispatcher TestVerify_ShowsWhatItMayBe",
	},
	{
		guard: "the claim's note tells what carries the key", does: "it says that nothing does, and a restart goes by it",
		edits: []edit{
			{"dispatcher/loop.go", "a.Note = d.knownKey(a.Route)", "a.Note = notedNone"},
			{"dispatcher/rest.go", "if when == fresh && !b.noted() {", "if when == fresh && !b.noted() && ctx == nil {"},
		},
		test: "dispatcher TestREST_TheClaimNotesWhatCarriesTheKey",
	},
}
