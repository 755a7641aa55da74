// Package schemas is the first published standards as data: one directory for
// each standard and version, in the form that package standard loads.
//
// Their publisher, standards.stile.example, is made up. A node may load them to
// have something to start with; nothing else in Stile knows them by name.
package schemas

import (
	"embed"
	"io/fs"
	"slices"
)

//go:embed */1.0.0 exchange-case/1.0.1 exchange-case/1.1.0 supplier-statement/1.1.0 translations/*.yaml
var files embed.FS

var all = []string{
	"admissions-application/1.0.0",
	"admissions-offer/1.0.0",
	"adoption-draw/1.0.0",
	"algorithmic-transparency/1.0.0",
	"blue-badge/1.0.0",
	"brownfield-site/1.0.0",
	"challenge/1.0.0",
	"challenge-assent/1.0.0",
	"child-protection-plan/1.0.0",
	"children-not-in-school-notice/1.0.0",
	"compliance-statement/1.0.0",
	"component/1.0.0",
	"component-use/1.0.0",
	"consultation-position/1.0.0",
	"continuity-of-care/1.0.0",
	"contract/1.0.0",
	"digital-tool/1.0.0",
	"ehc-plan-transfer/1.0.0",
	"exchange-case/1.0.0",
	"exchange-case/1.0.1",
	"exchange-case/1.1.0",
	"fly-tipping/1.0.0",
	"grant/1.0.0",
	"housing-need/1.0.0",
	"housing-requirement/1.0.0",
	"improvement-activity/1.0.0",
	"licence-refusal/1.0.0",
	"looked-after-placement/1.0.0",
	"plan-timetable/1.0.0",
	"planning-application/1.0.0",
	"planning-consultation/1.0.0",
	"planning-consultation-reply/1.0.0",
	"premises-licence/1.0.0",
	"service-directory/1.0.0",
	"spend/1.0.0",
	"supplier-statement/1.0.0",
	"supplier-statement/1.1.0",
	"waste-report/1.0.0",
	"workforce-headcount/1.0.0",
}

// Translations lists the forms of other publishers into which records of these standards are
// translated and from which they come, sorted.
func Translations() []string { return []string{"ocds", "open-referral-uk"} }

// Translation returns the file of one of them, in the form that package translation reads;
// nil of any other.
func Translation(id string) []byte {
	b, err := files.ReadFile("translations/" + id + ".yaml")
	if err != nil {
		return nil
	}
	return b
}

// Names lists the standards, sorted, each as "name/version", which is also its
// directory.
func Names() []string { return slices.Clone(all) }

// First lists those of [Names] that a new node adopts by itself. The others come with
// Stile and are adopted by whoever wants them.
func First() []string {
	return []string{"brownfield-site/1.0.0", "compliance-statement/1.0.0", "housing-need/1.0.0", "planning-application/1.0.0"}
}

// FS returns the directory of one of [Names]. Any other name panics.
func FS(name string) fs.FS {
	if _, err := files.ReadDir(name); err != nil {
		panic("internal error: no such standard: " + name)
	}
	sub, err := fs.Sub(files, name)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return sub
}

// All returns the directories of every standard, in the order of [Names].
func All() []fs.FS {
	var out []fs.FS
	for _, n := range all {
		out = append(out, FS(n))
	}
	return out
}
