package mutation

// jobs: the bulk job's steps and its rules (P2, P6).
var jobs = []mutant{
	{
		guard: "a claim that is repeated is the same claim", does: "it claims more",
		edits: []edit{{"store/claim.go", "if old, err := getAttempt(t.tx, id); err == nil {", "if old, err := getAttempt(t.tx, id); err == nil && old.Phase == PhaseDone {"}},
		test:  "store TestConformance/Claim_TheSameIDIsTheSameAttempt",
	},
	{
		guard: "T2 before N2: the job's id is stored before its data is sent", does: "the data goes first",
		edits: []edit{{"dispatcher/bulk.go", "\t\tj.empty, j.made = true, time.Now()\n\t\treturn d.advance(ctx, j, \"T2\"", "\t\tj.empty, j.made, j.JobID = true, time.Now(), made.ID\n\t\t_ = d.org.UploadJob(ctx, made.ID, j.table.CSV())\n\t\treturn d.advance(ctx, j, \"T2\""}},
		test:  "dispatcher TestJob_EachStepIsStoredBeforeTheNextCall",
	},
	{
		guard: "T3 before N3: closing is stored before the job is closed (rule 1)", does: "the job is closed first",
		edits: []edit{{"dispatcher/bulk.go", "\tj.uploaded = true\n\treturn d.advance", "\t_, _ = d.close(ctx, j)\n\treturn d.advance"}},
		test:  "dispatcher TestJob_EachStepIsStoredBeforeTheNextCall",
	},
	{
		guard: "no second upload to a job", does: "a job that a start finds open gets its data again",
		edits: []edit{{"dispatcher/bulk.go", "if !j.empty {\n\t\treturn d.replace", "if j.over {\n\t\treturn d.replace"}},
		test:  "dispatcher TestUpload_NeverTwiceToOneJob",
	},
	{
		guard: "a job that was not closed is seen dead before the next one", does: "it is left to itself",
		edits: []edit{{"dispatcher/bulk.go", "wait := pause{d.config().Bulk.PollMin, d.config().Bulk.PollMax}\n\tfor {\n\t\tvar seen", "wait := pause{d.config().Bulk.PollMin, d.config().Bulk.PollMax}\n\tfor {\n\t\tif id != \"\" {\n\t\t\treturn true, nil\n\t\t}\n\t\tvar seen"}},
		test:  "dispatcher TestUpload_TheOldJobIsDeadBeforeTheNext",
	},
	{
		guard: "a job that got past Open all the same is never replaced", does: "whatever is not Open counts as dead",
		edits: []edit{{"dispatcher/bulk.go", "\t\tcase err == nil:\n\t\t\treturn false, nil\n", "\t\tcase err == nil:\n\t\t\treturn true, nil\n"}},
		test:  "dispatcher TestUpload_AJobThatSomebodyClosedGoesOn/restarted_false",
	},
	{
		guard: "nor where a start finds it", does: "whatever was open is replaced",
		edits: []edit{{"dispatcher/recover.go", "\tcase !dead:\n", "\tcase !dead && len(claimed) == 0:\n"}},
		test:  "dispatcher TestUpload_AJobThatSomebodyClosedGoesOn/restarted_true",
	},
	{
		guard: "an attempt that is closing is never given up (rule 2)", does: "a start puts its events back",
		edits: []edit{
			{"store/attempt.go", "if a.Phase >= PhaseClosing {", "if a.Phase >= PhaseDone {"},
			{"dispatcher/recover.go", "case a.Phase >= store.PhaseClosing:\n\t\treturn d.resumeClosed(ctx, a, claimed, free)", "case a.Phase >= store.PhaseClosing:\n\t\treturn d.release(ctx, a, errSmall)"},
		},
		test: "dispatcher TestRestart_FromEveryStep/create_by_job/job.close/delay_after",
	},
	{
		guard: "nor is it released", does: "the store lets go of a closed job",
		edits: []edit{{"store/attempt.go", "if a.Phase >= PhaseClosing {", "if a.Phase >= PhaseDone {"}},
		test:  "store TestConformance/Release_NotOnceClosing",
	},
	{
		guard: "phases only go forward", does: "an attempt may be set to any phase",
		edits: []edit{{"store/attempt.go", "if a.Phase != from || to >= PhaseDone || to <= from && !newJob {", "if to >= PhaseDone && !newJob {"}},
		test:  "store TestConformance/Advance_ComparesAndSets",
	},
	{
		guard: "a failed job's written rows stay written (rule 2)", does: "a failed job counts as one that ran no row",
		edits: []edit{{"dispatcher/results.go", "if h.ranNoRow(seen) {\n\t\treturn j.ranNoRow", "if seen.State == salesforce.StateFailed {\n\t\treturn j.ranNoRow"}},
		test:  "dispatcher TestFailedJob_PartIsDelivered/create_by_job/0.3",
	},
	{
		guard: "what a foreign abort left is believed after the late window (rule 2)", does: "it is believed at once",
		edits: []edit{{"dispatcher/results.go", "case seen.State == salesforce.StateAborted && !waited &&", "case seen.State == salesforce.StateAborted && waited &&"}},
		test:  "dispatcher TestForeignAbort",
	},
	{
		guard: "rows are matched by content, not by their order (rule 3)", does: "the first row is the first event's",
		edits: []edit{{"dispatcher/reconcile.go", "event, ok := waiting[exact]", "event, ok := int32(row), row < len(sent)"}},
		test:  "dispatcher TestReconcile_EachEventItsOwnRow",
	},
	{
		guard: "events sent unlike that look alike in the results must all have fared alike", does: "their rows are dealt out",
		edits: []edit{{"dispatcher/reconcile.go", "!ok || event < 0 || mixed[exact]", "!ok || event < 0"}, {"dispatcher/reconcile.go", "mixed := contradictory(answers, unlike)", "_ = contradictory(answers, unlike)"}},
		test:  "dispatcher TestResults_WithoutTheColumnThatTellsRowsApart",
	},
	{
		guard: "left over rows tell only where they say the same (rule 3)", does: "any outcome will do",
		edits: []edit{{"dispatcher/reconcile.go", "if g.mixed || len(g.rows)", "if len(g.rows)"}},
		test:  "dispatcher TestReconcile_Leftovers",
	},
	{
		guard: "and where they are as many as the events (rule 3)", does: "the first ones are matched",
		edits: []edit{
			{"dispatcher/reconcile.go", "len(g.rows) != len(g.events)", "len(g.rows) > len(g.events)"},
			{"dispatcher/reconcile.go", "for i, event := range g.events {\n", "for i, event := range g.events[:len(g.rows)] {\n"},
		},
		test: "dispatcher TestReconcile_Leftovers",
	},
	{
		guard: "cells are compared by their fields' types (rule 3)", does: "they are compared as they are written",
		edits: []edit{{"dispatcher/normal.go", "return normalNumber(text, f)", "return text"}},
		test:  "dispatcher TestNormalCell_EqualsTheEcho",
	},
	{
		guard: "results agree with the job's own counts (rule 4)", does: "what was fetched first is believed",
		edits: []edit{{"dispatcher/results.go", "case h.agrees(len(j.records), *seen) || tries >= resultTries:", "case h.agrees(len(j.records), *seen) || tries >= 1:"}},
		test:  "dispatcher TestResults_Short/job.ok",
	},
	{
		guard: "results are read whole", does: "a cut body is the end of the results",
		edits: []edit{{"salesforce/results.go", "\tif err != nil && !p.stopped {\n", "\tif err != nil && !p.stopped && errors.Is(err, io.ErrUnexpectedEOF) {\n\t\treturn nil\n\t}\n\tif err != nil && !p.stopped {\n"}},
		test:  "salesforce TestResults_CutOrMalformedIsAnError",
	},
	{
		guard: "a row in no result is in doubt where it can't be repeated (rule 4)", does: "it is sent again",
		edits: []edit{{"dispatcher/results.go", "return j.ambiguous(r, store.Problem{Code: codeTransport, Message: \"the job's results", "return j.retry(r, store.Problem{Code: codeTransport, Message: \"the job's results"}},
		test:  "dispatcher TestLostRow/create_by_job",
	},
	{
		guard: "more rows than events are an alarm (rule 4)", does: "nobody is told of them",
		edits: []edit{{"dispatcher/bulk.go", "if spare > 0 {", "if spare > 0 && j.over {"}},
		test:  "dispatcher TestMoreRowsThanEvents",
	},
	{
		guard: "a bad column stops only those who have it (rule 5)", does: "the whole job fails",
		edits: []edit{{"dispatcher/split.go", "case named && !carries(i, fault.Column):\n\t\t\toutcomes[i] = j.unsent(r)", "case named && !carries(i, fault.Column):\n\t\t\toutcomes[i] = j.fail(r, columnProblem(fault))"}},
		test:  "dispatcher TestRanNoRow",
	},
	{
		guard: "poison that is not named is halved until it is alone (rule 5)", does: "the whole job fails",
		edits: []edit{{"dispatcher/outcome.go", "func (j *judge) split(r record, p store.Problem) store.Outcome {\n\tif j.size <= 1 {", "func (j *judge) split(r record, p store.Problem) store.Outcome {\n\tif j.size <= 1000 {"}},
		test:  "dispatcher TestRanNoRow_IsolatesThePoison",
	},
	{
		guard: "the rows of a job that ran none are not read: they are what could not be read (rule 5)", does: "its events wait for what can't be read",
		edits: []edit{{"dispatcher/results.go", "case problem == nil && h.ranNoRow(seen):", "case problem != nil && h.ranNoRow(seen):"}},
		test:  "dispatcher TestPoison_OfAJobWithoutAColumn/quoting/creates_by_job",
	},
	{
		guard: "no row is to blame for a job that failed over a quota", does: "it is failed once it is alone",
		edits: []edit{{"dispatcher/split.go", "case aboutOrg(class):\n\t\to := j.unsent(r)", "case aboutOrg(class) && j.size < 0:\n\t\to := j.unsent(r)"}},
		test:  "dispatcher TestUnprocessed",
	},
	{
		guard: "an upload that gets through to no job takes nobody along (P6)", does: "it goes back as it is, for ever",
		edits: []edit{{"dispatcher/bulk.go", "told && j.tries+1 >= jobTries", "told && j.over"}},
		test:  "dispatcher TestPoison_OfAnUploadThatIsRefused/no_answer/upserts_by_job",
	},
	{
		guard: "of a job that is gone nothing is known (rule 6)", does: "its events count as unsent",
		edits: []edit{{"dispatcher/bulk.go", "return d.end(ctx, j, j.all(j.unaccounted), \"the job is gone\")", "return d.end(ctx, j, j.all(j.unsent), \"the job is gone\")"}},
		test:  "dispatcher TestJobGone/create_by_job",
	},
	{
		guard: "of results that are gone nothing is known (rule 6)", does: "rows without a result count as not processed",
		edits: []edit{{"dispatcher/results.go", "\t\tcase salesforce.IsNotFound(err):\n\t\t\treturn h, nil\n", "\t\tcase salesforce.IsNotFound(err):\n\t\t\tfor i, r := range j.records {\n\t\t\t\th.rows = append(h.rows, resultRow{set: unprocessed, header: j.table.Header, ResultRow: salesforce.ResultRow{Cells: j.table.Cells(i)}})\n\t\t\t\t_ = r\n\t\t\t}\n\t\t\treturn h, nil\n"}},
		test:  "dispatcher TestResultsGone",
	},
	{
		guard: "the text #N/A goes by no job", does: "it clears the field",
		edits: []edit{{"salesforce/csv.go", "case string(bytes.TrimSpace(text)) == Null:", "case string(bytes.TrimSpace(text)) == Null+\"!\":"}},
		test:  "salesforce TestTable_WhatAJobCantCarry",
	},
	{
		guard: "base64 goes by no job", does: "it travels as a text, which fails the whole job",
		edits: []edit{{"salesforce/csv.go", `return ok && field.Type == "base64"`, `return ok && field.Type == "base64 of another kind"`}},
		test:  "dispatcher TestValues_ArriveAsTheyWereWritten/creates_by_job",
	},
	{
		guard: "null and the empty text are #N/A", does: "they are left out, which leaves the field alone",
		edits: []edit{{"salesforce/csv.go", "case len(text) == 0:\n\t\treturn append(b, Null...), nil", "case len(text) == 0:\n\t\treturn b, nil"}},
		test:  "salesforce TestTable_Cells",
	},
	{
		guard: "CR LF and CR become LF in a job", does: "they stay",
		edits: []edit{{"salesforce/csv.go", "return b[:begin+len(onlyLF(text))], nil", "return b, nil"}},
		test:  "salesforce TestTable_Cells",
	},
	{
		guard: "each row of a job has as many cells as its header", does: "a line lacks the cells of columns that came later",
		edits: []edit{{"salesforce/csv.go", "\t\tmissing += full - n\n", "\t\tmissing += 0 * (full - n)\n"}},
		test:  "salesforce TestTable_SpellsColumnsAsDescribeDoes",
	},
	{
		guard: "an attempt found at three starts is tried event by event (POISON)", does: "it is tried for ever",
		edits: []edit{{"dispatcher/recover.go", "const crashLoop = 3", "const crashLoop = 1 << 30"}},
		test:  "dispatcher TestCrashLoop",
	},
	{
		guard: "a start that the disk ended accuses no event", does: "it counts as a crash",
		edits: []edit{{"store/startup.go", "s.crashed = !s.num.Clean && !beside.Failed", "s.crashed = !s.num.Clean"}},
		test:  "store TestStart_DiskFailureIsNoCrash",
	},
}
