// Package sbom lists what a program of ours is made of, as the Go tool wrote it into the
// program itself: a software bill of materials. The program's own version is [release.Version].
//
// The form is CycloneDX 1.6 in JSON (ECMA-424). A module's sum, the h1 hash of its files
// as go.sum has it, is no hash of one file, so it stands as the property "go:sum".
// Licences are not in a program and so not in the list.
package sbom

import (
	"bytes"
	"cmp"
	"errors"
	"runtime/debug"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"

	"github.com/stile-exchange/stile/internal/release"
)

// Of returns the list for the running program. Two calls of one program return the same
// bytes. It fails for a program that was built without modules.
func Of() ([]byte, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errNoModules
	}
	bom := cyclonedx.NewBOM()
	root := component(cyclonedx.ComponentTypeApplication, &debug.Module{Path: info.Main.Path, Version: release.Version})
	var commit []cyclonedx.Property
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" || s.Key == "vcs.modified" || s.Key == "GOOS" || s.Key == "GOARCH" {
			commit = append(commit, cyclonedx.Property{Name: "go:" + s.Key, Value: s.Value})
		}
	}
	if len(commit) > 0 {
		root.Properties = &commit
	}
	bom.Metadata = &cyclonedx.Metadata{Component: &root}
	parts := []cyclonedx.Component{component(cyclonedx.ComponentTypeLibrary, &debug.Module{Path: "std", Version: info.GoVersion})}
	on := []string{parts[0].BOMRef}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		parts = append(parts, component(cyclonedx.ComponentTypeLibrary, m))
		on = append(on, parts[len(parts)-1].BOMRef)
	}
	bom.Components = &parts
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: root.BOMRef, Dependencies: &on}}
	var b bytes.Buffer
	err := cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cyclonedx.SpecVersion1_6)
	return b.Bytes(), err
}

// A Part is a module that the running program is made of, and Go itself.
type Part struct {
	Name    string // its path; "std" is Go's own library
	Version string
	Sum     string // as go.sum has it; "" where there is none
}

// Parts returns them, Go's library first and then by path. It fails as [Of] does.
func Parts() ([]Part, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errNoModules
	}
	out := []Part{{Name: "std", Version: info.GoVersion}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		out = append(out, Part{m.Path, cmp.Or(m.Version, "(devel)"), m.Sum})
	}
	return out, nil
}

var errNoModules = errors.New("this program was built without modules and does not know what it is made of")

func component(kind cyclonedx.ComponentType, m *debug.Module) cyclonedx.Component {
	version := cmp.Or(m.Version, "(devel)")
	purl := "pkg:golang/" + m.Path + "@" + version
	c := cyclonedx.Component{Type: kind, BOMRef: purl, PackageURL: purl, Name: m.Path, Version: version}
	if m.Sum != "" {
		c.Properties = &[]cyclonedx.Property{{Name: "go:sum", Value: m.Sum}}
	}
	return c
}
