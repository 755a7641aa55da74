package intake

import "slices"

const maxCoordinates = 50

// What the two numbers of a place may be.
const (
	areWGS84   = "wgs84"
	areOSGB36  = "osgb36"
	areByValue = "by-value"
)

// coordinateSettings are those of one entry of coordinates.
var coordinateSettings = []setting{
	{key: "x", wants: "a heading, or a list of those the column may have", absent: "`at` must be given",
		doc:   "The column of the first number: longitude or easting.",
		shown: example{"coordinates:\n  - {x: GeoX, y: GeoY, are: wgs84, longitude: /longitude, latitude: /latitude}", "GeoX,GeoY\n-1.5491,53.8008\n", `{"latitude":53.8008,"longitude":-1.5491}`},
		check: func(k *checking) {
			xy := k.xy
			if (len(xy.X) == 0) == (len(xy.At) == 0) || (len(xy.X) == 0) != (len(xy.Y) == 0) {
				k.under("", "want x and y, the headings of the two numbers, or at, the heading of one cell with both")
			}
			if k.c.headless() {
				k.under("", "the file has no headings (header_row: 0): coordinates want them")
			}
			for _, h := range slices.Concat(xy.X, xy.Y, xy.At) {
				if fold(h) == "" {
					k.under("", "a blank heading names no column")
				}
			}
			k.short(slices.Concat(xy.X, xy.Y, xy.At))
		}},
	{key: "y", wants: "a heading, or a list of those the column may have", absent: "`at` must be given",
		doc:   "The column of the second number: latitude or northing.",
		shown: example{"coordinates:\n  - {x: [GeoX, X], y: [GeoY, Y], are: osgb36, easting: /easting, northing: /northing}", "X,Y\n429939,433828\n", `{"easting":429939,"northing":433828}`}},
	{key: "at", wants: "a heading, or a list of those the column may have, with `pattern`", absent: "`x` and `y` must be given",
		doc:   "The column of a cell that holds both numbers.",
		shown: example{"coordinates:\n  - {at: Place, pattern: named-degrees, are: wgs84, longitude: /longitude, latitude: /latitude}", "Place\nLatitude: 53.8008 Longitude: -1.5491\n", `{"latitude":53.8008,"longitude":-1.5491}`}},
	{key: "pattern", wants: patternNames(), absent: "`at` may not be given",
		doc:   "How the cell of `at` is written.",
		shown: example{"coordinates:\n  - {at: Point, pattern: point, are: osgb36, longitude: /longitude, latitude: /latitude, decimals: 4}", "Point\nPOINT (429939 433828)\n", `{"latitude":53.7999,"longitude":-1.5469}`},
		check: func(k *checking) {
			k.xy.pattern = patternNamed(k.xy.Pattern)
			switch {
			case k.xy.Pattern != "" && k.xy.pattern == nil:
				k.bad("want %s", patternNames())
			case (k.xy.Pattern == "") != (len(k.xy.At) == 0):
				k.bad("goes with at: want both or neither")
			}
		}},
	{key: "are", wants: "wgs84, osgb36 or by-value",
		doc: "What the numbers are: longitude and latitude in degrees (wgs84, which ETRS89 equals here), or easting and northing in metres on the national grid (osgb36). " +
			"With by-value each row is the one of the two that its numbers can be: degrees and metres never look alike in Britain, and a longitude is never a latitude, so that two that have changed places are told as well. A row that is neither is refused.",
		shown: example{"coordinates:\n  - x: GeoX\n    y: GeoY\n    are: by-value\n    longitude: /longitude\n    latitude: /latitude\n    easting: /easting\n    northing: /northing", "GeoX,GeoY\n-1.5491,53.8008\n53.8008,-1.5491\n429939,433828\n0,0\n",
			"{\"latitude\":53.8008,\"longitude\":-1.5491}\n{\"latitude\":53.8008,\"longitude\":-1.5491}\n{\"easting\":429939,\"northing\":433828}\nrow 5: /longitude: neither degrees nor metres of a place in Britain"},
		check: func(k *checking) {
			k.oneOf(k.xy.Are, areWGS84, areOSGB36, areByValue)
			if p := k.xy.pattern; p != nil && (p.parts[0] == "easting" && k.xy.Are == areWGS84 || p.parts[0] != "easting" && p.parts[0] != "x" && k.xy.Are == areOSGB36) {
				k.bad("the pattern %s is of %s and %s", p.name, p.parts[0], p.parts[1])
			}
		}},
	{key: "longitude", wants: "a place in the record", absent: "`easting` and `northing` must be given",
		doc: "Where the longitude goes. When only `longitude` and `latitude` are given, metres are converted; when both pairs are given, each row fills the pair that it is in, with the digits of the file.",
		shown: example{"coordinates:\n  - {x: E, y: N, are: osgb36, longitude: /at/longitude, latitude: /at/latitude, decimals: 5}", "E,N\n429939,433828\n",
			`{"at":{"latitude":53.79990,"longitude":-1.54693}}`},
		check: func(k *checking) {
			xy := k.xy
			if (xy.Longitude == "") != (xy.Latitude == "") || (xy.Easting == "") != (xy.Northing == "") || xy.Longitude == "" && xy.Easting == "" {
				k.under("", "want longitude and latitude, or easting and northing, or all four")
				return
			}
			for axis, to := range xy.places() {
				if to == "" {
					continue
				}
				if text := k.c.root.add(to, &place{xy: xy, axis: axis}); text != "" {
					k.under(axisNames[axis], "%s", text)
				}
			}
		}},
	{key: "latitude", wants: "a place in the record", absent: "`easting` and `northing` must be given",
		doc:   "Where the latitude goes.",
		shown: example{"coordinates:\n  - {at: LatLong, pattern: latitude-longitude, are: wgs84, longitude: /longitude, latitude: /latitude}", "LatLong\n\"53.8008, -1.5491\"\n", `{"latitude":53.8008,"longitude":-1.5491}`}},
	{key: "easting", wants: "a place in the record", absent: "`longitude` and `latitude` must be given",
		doc:   "Where the easting goes. When only `easting` and `northing` are given, degrees are converted.",
		shown: example{"coordinates:\n  - {x: Long, y: Lat, are: wgs84, easting: /easting, northing: /northing, decimals: 0}", "Long,Lat\n-1.5471,53.8\n", `{"easting":429928,"northing":433839}`}},
	{key: "northing", wants: "a place in the record", absent: "`longitude` and `latitude` must be given",
		doc:   "Where the northing goes.",
		shown: example{"coordinates:\n  - {at: Grid, pattern: named-metres, are: osgb36, easting: /easting, northing: /northing}", "Grid\nE 429939 N 433828\n", `{"easting":429939,"northing":433828}`}},
	{key: "decimals", wants: "a number from 0 to 12", absent: "numbers of the file keep their digits; what is converted has 6 decimals of degrees and 1 of metres",
		doc:   "Rounds the numbers to at most this many decimals.",
		shown: example{"coordinates:\n  - {x: X, y: Y, are: wgs84, longitude: /longitude, latitude: /latitude, decimals: 6}", "X,Y\n-1.54912345,53.8\n", `{"latitude":53.8,"longitude":-1.549123}`},
		check: func(k *checking) {
			if d := k.xy.Decimals; d != nil && (*d < 0 || *d > 12) {
				k.bad("want 0 to 12")
			}
		}},
	{key: "required", wants: "true or false", absent: "false",
		doc:   "A row without the two numbers is refused. A row with one of them is refused in any case.",
		shown: example{"columns:\n  - {to: /name, from: Name}\ncoordinates:\n  - {x: X, y: Y, are: wgs84, longitude: /longitude, latitude: /latitude, required: true}", "Name,X,Y\nOld mill,,\nBarn,-1.5,\n", "row 2: /longitude: the cells of a place are blank\nrow 3: /latitude: one of the two numbers of a place is blank"}},
	{key: "optional", wants: "true or false", absent: "false",
		doc:   "The file may be without the columns.",
		shown: example{"columns:\n  - {to: /reference, from: Ref}\ncoordinates:\n  - {x: X, y: Y, are: wgs84, longitude: /longitude, latitude: /latitude, optional: true}\nignore: [Name]", abc, `{"reference":"A1"}`},
		check: func(k *checking) {
			if k.xy.Required && k.xy.Optional {
				k.bad("the place is required as well: want one of the two")
			}
		}},
}
