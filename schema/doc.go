// Package schema compares events with what an org says of its objects, before
// anything is sent: a field that does not exist, a required one that is missing,
// a text that is too long, an Id with a mistyped character.
//
// It promises to find only what the org would refuse, by REST and by job alike.
// A describe does not tell everything (formulas that give defaults, letter case
// of picklist values, namespaces, person accounts, compound fields), so whatever
// is not certain is no finding: when unsure, send. The other way round it
// promises nothing: validation rules, duplicate rules and triggers are in no
// describe. One thing it takes for certain can still be otherwise: a trigger or
// flow of the org that runs before the save may fill in a required field, or cut
// a text that is too long.
//
// It is pure: it asks nobody and keeps nothing. Who has the descriptions, and how
// fresh they are, is the caller's business. Its texts name fields and values of
// picklists as the org defines them, never a value of an event.
//
// [Checker] is the main type:
//
//	c := schema.Checker{Object: described, Parent: func(string) *salesforce.Object { return nil }}
//	for _, f := range c.Check(e) {
//		fmt.Println(f.Path, f.Reason, f.Detail) // fields.LastNam unknown_field no such field …
//	}
package schema
