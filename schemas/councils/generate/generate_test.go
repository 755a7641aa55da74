package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The committed list is what the source gives.
func TestFresh(t *testing.T) {
	root := os.Getenv("STILE_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(root, "local-authorities")); err != nil {
		t.Skipf("no folder local-authorities under %s; set STILE_DATA to the folder that holds it", root)
	}
	var out, notes bytes.Buffer
	if err := run(root, &out, &notes); err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../councils.csv")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), have) {
		t.Error("councils.csv is not what the source gives: go run ./schemas/councils/generate > schemas/councils/councils.csv")
	}
	// SOURCE.md says how many.
	if !strings.Contains(notes.String(), "45 first days are not a 1 April") {
		t.Errorf("notes: %s", &notes)
	}
}

const head = "local-authority-code,gss-code,nice-name,nation,region,local-authority-type,start-date,end-date,replaced-by,county-la,former-gss-codes\n"

func TestContradictions(t *testing.T) {
	for rows, want := range map[string]string{
		"": "",
		"A,E07000001,Old,England,London,NMD,,2020-03-31,,,\n":                                                                          "and not both",
		"A,E07000001,Old,England,London,NMD,,2020-03-31,B,,\n":                                                                         "not in the source",
		"A,E07000001,Old,England,London,NMD,,2020-03-31,B,,\nB,E06000001,New,England,London,UA,2021-04-01,,,,\n":                       "began on 2021-04-01",
		"A,E07000001,Old,England,,NMD,,,,,\n":                                                                                          "no region",
		"A,E07000001,Old,England,London,NMD,,2020-04-01,B,,\nB,E06000001,New,England,London,UA,2020-04-01,,,,\nC,W,X,Wales,,UA,,,,,\n": "",
	} {
		_, err := generate(strings.NewReader(head+rows), new(bytes.Buffer))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v, want %q", rows, err, want)
		}
	}
	for _, text := range []string{"", "a,b\n", "\"\n"} {
		if _, err := generate(strings.NewReader(text), new(bytes.Buffer)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	if err := run("", nil, nil); err == nil {
		t.Error("no folder, and no error")
	}
	if err := run(t.TempDir(), nil, nil); err == nil {
		t.Error("an empty folder, and no error")
	}
}
