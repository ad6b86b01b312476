package mutation

// ordering: lanes, waiting, the late window (P4).
var ordering = []mutant{
	{
		guard: "letter case makes no lane", does: "lanes keep the case",
		edits: []edit{{"event/lane.go", "if 'A' <= r && r <= 'Z' {", "if 'A' <= r && r < 'A' {"}},
		test:  "event TestDefaultLane",
	},
	{
		guard: "blanks make no lane", does: "lanes keep the blanks around a value",
		edits: []edit{
			{"event/lane.go", "text = strings.TrimSpace(text)\n", ""},
			{"event/lane.go", "return strings.Map(foldRune, strings.TrimSpace(text))", "return strings.Map(foldRune, text)"},
		},
		test: "event TestDefaultLane",
	},
	{
		guard: "the writing of a number makes no lane", does: "lanes keep numbers as they are written",
		edits: []edit{{"event/lane.go", "if number, ok := normalNumber(text); ok {", "if number, ok := normalNumber(text); ok && number == text {"}},
		test:  "event TestDefaultLane",
	},
	{
		guard: "an Id of 15 characters and of 18 are one lane", does: "they are two",
		edits: []edit{
			{"event/validate.go", "\t\t\te.ID = id\n", "\t\t\t_ = id\n"},
			{"event/lane.go", `canonical, problem := canonicalID(id); problem == ""`, `canonical, problem := canonicalID(id); problem == "" && canonical == id`},
		},
		test: "event TestDefaultLane",
	},
	{
		guard: "two events of a lane are never under way together", does: "lanes are not looked at",
		edits: []edit{
			{"store/window.go", "\tif e.lane == 0 {\n\t\treturn true\n\t}\n\tlast", "\tif e.lane|1 != 0 {\n\t\treturn true\n\t}\n\tlast"},
			{"store/claim.go", "if _, busy := p.t.s.busy[e.lane]; busy || p.lanes[e.lane] {", "if _, busy := p.t.s.busy[e.lane]; busy && p.lanes == nil {"},
		},
		test: "store TestConformance/Claim_NeverTwoOfALane",
	},
	{
		guard: "a failed head holds its lane", does: "its followers go on",
		edits: []edit{{"store/claim.go", "\tif !t.laneUsed {\n\t\treturn false\n\t}\n", "\tif !t.laneUsed || true {\n\t\treturn false\n\t}\n"}},
		test:  "store TestConformance/Claim_AFailedHeadBlocksItsLane",
	},
	{
		guard: "on_failure: skip holds of what the store itself fails", does: "an event that expires holds its lane",
		edits: []edit{{"store/settle.go", "problem: p, skip: t.s.opts.Skips(t.object(h))}", "problem: p}"}},
		test:  "store TestConformance/Sweep_WhatExpiresLetsFollowersPassWhereItIsSkipped",
	},
	{
		guard: "a head that others have passed is not retried (409)", does: "it is",
		edits: []edit{{"store/operator.go", "decodeLane(v).kind == laneSuperseded", "decodeLane(v).kind == 0xff"}},
		test:  "store TestConformance/Retry_SupersededByAFollower",
	},
	{
		guard: "after waits for a delivery", does: "it is not looked at",
		edits: []edit{{"store/accept.go", "if !done {\n\t\t\ta.aside, v = true, waiting", "if !done && v == nil {\n\t\t\ta.aside, v = true, waiting"}},
		test:  "store TestConformance/Claim_AfterWaitsForDelivery",
	},
	{
		guard: "$id_of waits for its event", does: "only after does",
		edits: []edit{{"server/convert.go", "ids := e.IDsOf()\n", "ids := e.IDsOf()[:0]\n"}},
		test:  "server TestPut_WaitsForTheEventsThatFieldsReferTo",
	},
	{
		guard: "a circle is shown as blocked", does: "its events look as if their turn came",
		edits: []edit{{"store/stuck.go", "r.states[seq] = circle\n", "r.states[seq] = \"\"\n"}},
		test:  "store TestConformance/Stuck_BlockedInACircle",
	},
	{
		guard: "followers wait for the late window", does: "the hold of a delivered event is not stored",
		edits: []edit{{"store/settle.go", "t.setLane(h.lane, o.Seq, laneFree, o.Hold)", "t.setLane(h.lane, o.Seq, laneFree, 0)"}},
		test:  "store TestConformance/Hold_OutlivesReopening",
	},
	{
		guard: "also where the event itself is delivered by a repeat", does: "the hold of an event that is sent again is not stored",
		edits: []edit{{"store/settle.go", "t.setLane(h.lane, o.Seq, laneAside, o.Hold)", "t.setLane(h.lane, o.Seq, laneAside, 0)"}},
		test:  "store TestConformance/Hold_FollowersWaitForTheLateWindow",
	},
	{
		guard: "the late window begins anew with a start", does: "it goes on where it was",
		edits: []edit{{"store/attempt.go", "return t.renewHolds()", "return nil"}},
		test:  "store TestConformance/Hold_OutlivesReopening",
	},
	{
		guard: "a hold that runs longer than the window keeps its end", does: "the end of one that runs longer is forgotten",
		edits: []edit{{"store/attempt.go", "break // runs longer anyhow", "_ = k // however long it runs"}},
		test:  "store TestConformance/Hold_RunsOnThoughTheWindowIsShorterNow",
	},
	{
		guard: "an ambiguous end begins the late window", does: "only the event itself is sent again",
		edits: []edit{{"dispatcher/outcome.go", "o = j.alone(r, p)\n\t\to.Hold = j.cfg.REST.LateWindow\n", "o = j.alone(r, p)\n"}},
		test:  "dispatcher TestJudge_Limits",
	},
	{
		guard: "so does a start that finds a call unfinished", does: "its events are taken for unsent",
		edits: []edit{{"dispatcher/prepare.go", "b.late = when == found", "b.late = when == found && len(claimed) == 0"}},
		test:  "dispatcher TestRestart_FollowersWaitForTheLateWindow",
	},
	{
		guard: "one request or job never names a record twice", does: "what a claim brought goes together",
		edits: []edit{{"dispatcher/prepare.go", `case r.name != "" && seen[r.name]:`, `case r.name != "" && seen[r.name] && seen == nil:`}},
		test:  "dispatcher TestOneRecordTwice/2",
	},
}
