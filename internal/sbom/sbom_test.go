package sbom

import (
	"bytes"
	"testing"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"

	"github.com/stile-exchange/stile/internal/release"
)

// TestOf: the list of a program names what it links, with versions, twice the same.
func TestOf(t *testing.T) {
	b, err := Of()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Of()
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("two lists of one program differ: %v", err)
	}
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(b), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.SpecVersion != cyclonedx.SpecVersion1_6 || bom.Metadata.Component.Name == "" || bom.Metadata.Component.Version != release.Version || len(*bom.Components) == 0 {
		t.Errorf("%s", b)
	}
	refs := map[string]bool{}
	for _, c := range *bom.Components {
		if c.PackageURL == "" || c.Version == "" || refs[c.BOMRef] {
			t.Errorf("component %+v", c)
		}
		refs[c.BOMRef] = true
	}
	for _, d := range *(*bom.Dependencies)[0].Dependencies {
		if !refs[d] {
			t.Errorf("%s is depended on and not listed", d)
		}
	}
}
