package simulator

import (
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCanonicalID(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		ok             bool
	}{
		{"documented example", "0015g00000Kp7Qa", "0015g00000Kp7QaAAJ", true},
		{"18 characters stay", "0015g00000Kp7QaAAJ", "0015g00000Kp7QaAAJ", true},
		{"a wrong suffix is refused", "0015g00000Kp7QaAAA", "", false},
		{"case counts", "0015G00000Kp7QaAAJ", "", false},
		{"other lengths are refused", "0015g00000Kp7", "", false},
		{"other characters are refused", "0015g00000Kp7Q-", "", false},
		{"nothing is refused", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := canonicalID(tt.in)
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("canonicalID(%q) = %q, %v; want %q, %v", tt.in, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestDecimal(t *testing.T) {
	for _, tt := range []struct {
		in          string
		scale       int
		plain, java string
	}{
		{"71", 2, "71", "7.1E1"},
		{"912260031", 0, "912260031", "9.12260031E8"},
		{"100", 2, "100", "1.0E2"},
		{"5", 2, "5", "5.0"},
		{"0.125", 2, "0.13", "1.3E-1"},
		{"-0.004", 2, "0", "0.0"},
		{"9.995", 2, "10", "1.0E1"},
		{"1e3", 0, "1000", "1.0E3"},
		{"007.10", 2, "7.1", "7.1"},
		{"-12.5", 0, "-13", "-1.3E1"},
		{"0.5", 0, "1", "1.0"},
		{"0.04", 0, "0", "0.0"},
		{".5", 1, "0.5", "5.0E-1"},
		{"123456789012345678", 0, "123456789012345678", "1.23456789012345678E17"},
	} {
		d, ok := parseDecimal(tt.in)
		if !ok {
			t.Errorf("parseDecimal(%q) refused", tt.in)
			continue
		}
		d = d.round(tt.scale)
		if d.String() != tt.plain || d.java() != tt.java {
			t.Errorf("%q at scale %d: got %s, %s; want %s, %s", tt.in, tt.scale, d, d.java(), tt.plain, tt.java)
		}
	}
	for _, in := range []string{"", "-", "1.2.3", "abc", "1e", "1e9999", "0x10", "1,000", " "} {
		if d, ok := parseDecimal(in); ok {
			t.Errorf("parseDecimal(%q) = %s, want a refusal", in, d)
		}
	}
}

func TestDecimal_KeepsItsValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{1,18}(\.[0-9]{0,9})?(e-?[0-9])?`).Draw(t, "number")
		d, ok := parseDecimal(text)
		if !ok {
			t.Fatalf("%q refused", text)
		}
		want, _ := new(big.Rat).SetString(strings.TrimSuffix(strings.Replace(text, ".e", "e", 1), "."))
		for _, form := range []string{d.String(), d.java()} {
			got, _ := new(big.Rat).SetString(form)
			if got.Cmp(want) != 0 {
				t.Fatalf("%q became %s", text, form)
			}
			if _, err := strconv.ParseFloat(form, 64); err != nil {
				t.Fatalf("%s is not a number", form)
			}
		}
	})
}

func TestEcho(t *testing.T) {
	for _, tt := range []struct{ typ, in, want string }{
		{"double", "71", "7.1E1"},
		{"currency", "912260031", "9.12260031E8"},
		{"datetime", "2025-11-25T03:45:21.14287Z", "2025-11-25T03:45:21.142Z"},
		{"datetime", "2025-11-25T05:45:21+02:00", "2025-11-25T03:45:21.000Z"},
		{"boolean", "TRUE", "true"},
		{"boolean", "0", "false"},
		{"int", "030", "30"},
		{"date", "1940-06-07Z", "1940-06-07"},
		{"string", " as it was ", " as it was "},
		{"double", "n/a", "n/a"},
		{"reference", "0015g00000Kp7Qa", "0015g00000Kp7QaAAJ"},
	} {
		obj, err := compile(Object{Name: "X__c", Fields: []Field{{Name: "F__c", Type: tt.typ, Scale: 2}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := obj.field("F__c").echo(tt.in); got != tt.want {
			t.Errorf("%s %q comes back as %q, want %q", tt.typ, tt.in, got, tt.want)
		}
	}
}

func TestLabel(t *testing.T) {
	for name, want := range map[string]string{
		"LastName": "Last Name", "AccountId": "Account ID", "Shop_Id__c": "Shop Id", "Email": "Email", "URLName": "URLName",
	} {
		if got := label(name); got != want {
			t.Errorf("label(%s) = %q, want %q", name, got, want)
		}
	}
}
