package mutation

// acceptance: from the app's call to the answer (P1, P3).
var acceptance = []mutant{
	{
		guard: "a commit stands before the answer", does: "puts are answered when they are in the transaction",
		edits: []edit{
			{
				"store/writer.go", `err := s.persist(func(t *txn) error { return t.puts(g.ops) }, s.lengthen)`,
				`err := s.persist(func(t *txn) error {
					err := t.puts(g.ops)
					for _, o := range g.ops {
						o.done <- unlessFull(err)
					}
					return err
				}, s.lengthen)`,
			},
			{"store/writer.go", "\t\to.done <- unlessFull(err)\n\t}\n\treturn g.next", "\t}\n\treturn g.next"},
		},
		test: "store TestFailedWrite_IsUnknownOrClean",
	},
	{
		guard: "a commit is synced", does: "bbolt leaves the syncing to the kernel",
		edits: []edit{{"store/store.go", "NoFreelistSync: true, FreelistType: bolt.FreelistMapType,\n\t\tInitialMmapSize", "NoFreelistSync: true, NoSync: true, FreelistType: bolt.FreelistMapType,\n\t\tInitialMmapSize"}},
		test:  "store TestOpen_EveryCommitIsSynced",
	},
	{
		guard: "a commit that fails is unknown", does: "every failed commit counts as undone, and the store goes on",
		edits: []edit{{"store/writer.go", "if !short && !(isWrite(err) && isNoRoom(err)) {\n\t\treturn s.fail(err)", "if !short && !(isWrite(err) && isNoRoom(err)) {\n\t\treturn diskFull(err)"}},
		test:  "store TestFailedWrite_IsUnknownOrClean",
	},
	{
		guard: "clean is an ENOSPC only where readers see the old transaction", does: "every ENOSPC counts as clean",
		edits: []edit{{"store/writer.go", "viewErr != nil || seen != before", "viewErr != nil || seen < 0"}},
		test:  "store TestFailedWrite_IsUnknownOrClean",
	},
	{
		guard: "and one of a write, never of a sync", does: "an ENOSPC of a sync counts as clean",
		edits: []edit{{"store/writer.go", "!(isWrite(err) && isNoRoom(err))", "!isNoRoom(err)"}},
		test:  "store TestDisk_FullAtASyncIsUnknown",
	},
	{
		guard: "after an unknown commit nobody is answered", does: "the server answers with a problem",
		edits: []edit{{"server/problem.go", "return errors.Is(err, store.ErrUnknown) || ", "return "}},
		test:  "server TestPut_UnknownCommitCutsTheConnection",
	},
	{
		guard: "after an unknown commit the daemon ends", does: "it goes on",
		edits: []edit{{"app/app.go", "case <-a.store.Failed():\n\t\treturn a.store.Err()\n", "case <-a.store.Failed():\n\t\t<-ctx.Done()\n\t\treturn nil\n"}},
		test:  "app TestGuardStore_TellsThatACommitIsUnknown",
	},
	{
		guard: "after a crash the newest keys are known by their records", does: "nobody looks there",
		edits: []edit{{"store/keyindex.go", "if key := recKey(v); len(key) > 0 {", "if key := recKey(v); len(key) < 0 {"}},
		test:  "store TestKeys_KnownThroughSlicesRunsAndCrashes",
	},
	{
		guard: "and by their receipts", does: "nobody looks there",
		edits: []edit{{"store/keyindex.go", "if r, _ := decodeReceipt(v); len(r.key) > 0 {", "if r, _ := decodeReceipt(v); len(r.key) < 0 {"}},
		test:  "store TestKeys_OfDeliveredEventsStayKnown",
	},
	{
		guard: "what a clean close has left is only true until the next start", does: "it is read after a crash too",
		edits: []edit{
			{"store/keyindex.go", "clean && left.Bucket(", "left.Bucket("},
			{"store/startup.go", "s.keys.dropLeft(tx), ", ""},
		},
		test: "store TestKeys_KnownThroughSlicesRunsAndCrashes",
	},
	{
		guard: "the same key with another payload is refused", does: "it counts as a repeat",
		edits: []edit{{"store/accept.go", "if v.digest != digest {", "if v.digest != digest && seq == 0 {"}},
		test:  "store TestConformance/Put_SameKeyOtherPayloadIsRefused",
	},
	{
		guard: "and so is one within a batch", does: "the first one of the batch stands for both",
		edits: []edit{{"store/accept.go", "if a.p.e.Digest != p.e.Digest {", "if a.p.e.Digest != p.e.Digest && i < 0 {"}},
		test:  "store TestConformance/Put_AKeyTwiceInOneBatch",
	},
	{
		guard: "an atomic batch is stored as a whole or not at all", does: "the good ones are stored",
		edits: []edit{{"store/accept.go", "if !p.atomic || !refused {", "if !p.atomic || !refused || refused {"}},
		test:  "store TestConformance/Put_AtomicStoresAllOrNothing",
	},
	{
		guard: "room is kept for the outcomes of what is under way (507)", does: "events fill the store to the last page",
		edits: []edit{
			{"store/room.go", "<= reserve(t.s.opts.MaxSize)", "<= 0*reserve(t.s.opts.MaxSize)"},
			{"store/room.go", "need += t.s.step()", "need += 0 * t.s.step()"},
		},
		test: "store TestSettle_FailuresAtTheSizeLimit",
	},
	{
		guard: "and on the disk by a ballast", does: "it is not given up for outcomes",
		edits: []edit{{"store/room.go", "return spaceLess && s.disk.giveUp()", "return spaceLess && s.disk == nil"}},
		test:  "store TestDisk_FilledFromOutside",
	},
	{
		guard: "which is not for new events", does: "they use it up",
		edits: []edit{
			{"store/room.go", "if roomy {", "if roomy || missing > 0 {"},
			{"store/room.go", "return errors.Is(why, berrors.ErrMaxSizeReached) && s.grow(s.step()) == nil", "return s.makeRoom(why)"},
			{"store/room.go", "if t.inFile() < need+missing {", "if t.inFile() < need+missing && !t.s.disk.giveUp() {"},
		},
		test: "store TestDisk_FilledFromOutside",
	},
	{
		guard: "a cut stream leaves no half line", does: "what was read of the last line is stored",
		edits: []edit{{"server/stream.go", "!errors.Is(err, errLongLine) {\n\t\t\treturn err", "!errors.Is(err, errLongLine) {\n\t\t\ts.pileLine(p, line, number, false)\n\t\t\treturn err"}},
		test:  "server TestReadLines_AHalfLineIsNone",
	},
	{
		guard: "the dedup window begins when the event has ended", does: "it begins with acceptance",
		edits: []edit{{"store/settle.go", "rec.LastEnd = t.now\n", "rec.LastEnd = max(rec.LastEnd, sl.opened)\n"}},
		test:  "store TestConformance/Sweep_TheWindowBeginsAtTheEnd",
	},
	{
		guard: "an event that is not terminal keeps its key", does: "its key leaves with those of its slice",
		edits: []edit{{"store/expire.go", "keep[hashKey(string(h.key))] = seqOf(k)", "_ = h"}, {"store/expire.go", "if live[seq] {", "if live[seq] && seq == 0 {"}},
		test:  "store TestConformance/Sweep_WhatIsNotTerminalNeverLeaves",
	},
	{
		guard: "a receipt that is waited for stays", does: "it leaves with the others",
		edits: []edit{{"store/expire.go", "if receipts == nil || !t.waitUsed {", "if receipts == nil || !t.waitUsed || true {"}},
		test:  "store TestConformance/Sweep_AReceiptThatIsWaitedForIsKept",
	},
	{
		guard: "windows follow the store's own clock", does: "they follow the wall clock",
		edits: []edit{{"store/clock.go", "c.last = max(c.last+1, c.base+c.mono()-c.start)", "c.last = max(c.last+1, time.Duration(c.wall().UnixNano()))"}},
		test:  "store TestConformance/Clock_AWallJumpForgetsNothing",
	},
}
