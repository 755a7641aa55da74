package intake

import "math"

// The national grid of Great Britain (OSGB36) and longitude and latitude
// (WGS84, which ETRS89 equals for this purpose) by the seven-parameter
// Helmert transformation and the transverse Mercator projection that Ordnance
// Survey publishes in "A guide to coordinate systems in Great Britain". It
// stands in for the OSTN15 grid of shifts, which is exact to centimetres and
// 40 MB: on the 40 test points that Ordnance Survey ships with OSTN15 it is
// within 5 m on land (see the test). That places a site, and not a boundary.
// GridAccuracy is how far a converted place on land may be from the true one.
const GridAccuracy = 5 // metres

type ellipsoid struct{ a, b float64 } // half axes in metres

func (e ellipsoid) e2() float64 { return 1 - e.b*e.b/(e.a*e.a) }

var (
	airy1830 = ellipsoid{6377563.396, 6356256.909}
	wgs84    = ellipsoid{6378137, 6356752.3142}
)

// The projection of the national grid.
const (
	gridScale = 0.9996012717
	gridLat   = 49 * math.Pi / 180
	gridLon   = -2 * math.Pi / 180
	gridEast  = 400000
	gridNorth = -100000
)

// The Helmert transformation from WGS84 to OSGB36: metres, parts of one, and
// radians.
var toOSGB36 = [7]float64{-446.448, 125.157, -542.060, 20.4894e-6, -0.1502 * arcSecond, -0.2470 * arcSecond, -0.8421 * arcSecond}

const arcSecond = math.Pi / 180 / 3600

// OnGrid reports whether easting and northing lie on the national grid.
func OnGrid(easting, northing float64) bool {
	return easting >= 0 && easting <= 700000 && northing >= 0 && northing <= 1300000
}

// NearBritain reports whether a longitude and latitude, in degrees, lie where
// the national grid does.
func NearBritain(longitude, latitude float64) bool {
	return longitude >= -9.5 && longitude <= 2.5 && latitude >= 49 && latitude <= 61.5
}

// ToWGS84 returns the longitude and latitude, in degrees, of a place on the
// national grid, to some [GridAccuracy].
func ToWGS84(easting, northing float64) (longitude, latitude float64) {
	lat, lon := airy1830.unproject(easting, northing)
	x, y, z := airy1830.cartesian(lat, lon)
	var back [7]float64
	for i, v := range toOSGB36 {
		back[i] = -v
	}
	lat, lon = wgs84.geodetic(helmert(back, x, y, z))
	return lon * 180 / math.Pi, lat * 180 / math.Pi
}

// ToGrid returns the easting and northing, in metres, of a longitude and a
// latitude in degrees, to some [GridAccuracy].
func ToGrid(longitude, latitude float64) (easting, northing float64) {
	x, y, z := wgs84.cartesian(latitude*math.Pi/180, longitude*math.Pi/180)
	return airy1830.project(airy1830.geodetic(helmert(toOSGB36, x, y, z)))
}

func helmert(t [7]float64, x, y, z float64) (float64, float64, float64) {
	s := 1 + t[3]
	return t[0] + s*x - t[6]*y + t[5]*z, t[1] + t[6]*x + s*y - t[4]*z, t[2] - t[5]*x + t[4]*y + s*z
}

// cartesian is of a place on the ellipsoid itself.
func (e ellipsoid) cartesian(lat, lon float64) (x, y, z float64) {
	sin, cos := math.Sincos(lat)
	nu := e.a / math.Sqrt(1-e.e2()*sin*sin)
	return nu * cos * math.Cos(lon), nu * cos * math.Sin(lon), (1 - e.e2()) * nu * sin
}

func (e ellipsoid) geodetic(x, y, z float64) (lat, lon float64) {
	p := math.Hypot(x, y)
	lat = math.Atan2(z, p*(1-e.e2()))
	for range 10 { // gains three digits each time
		sin := math.Sin(lat)
		nu := e.a / math.Sqrt(1-e.e2()*sin*sin)
		lat = math.Atan2(z+e.e2()*nu*sin, p)
	}
	return lat, math.Atan2(y, x)
}

// meridian is the length of the meridian from the grid's true origin, scaled.
func (e ellipsoid) meridian(lat float64) float64 {
	n := (e.a - e.b) / (e.a + e.b)
	d, s := lat-gridLat, lat+gridLat
	return e.b * gridScale * ((1+n+5.0/4*n*n+5.0/4*n*n*n)*d -
		(3*n+3*n*n+21.0/8*n*n*n)*math.Sin(d)*math.Cos(s) +
		(15.0/8*n*n+15.0/8*n*n*n)*math.Sin(2*d)*math.Cos(2*s) -
		35.0/24*n*n*n*math.Sin(3*d)*math.Cos(3*s))
}

// radii are the radius of curvature across the meridian, along it, and how
// much the first is larger.
func (e ellipsoid) radii(lat float64) (nu, rho, eta2 float64) {
	sin := math.Sin(lat)
	w := 1 - e.e2()*sin*sin
	nu = e.a * gridScale / math.Sqrt(w)
	rho = nu * (1 - e.e2()) / w
	return nu, rho, nu/rho - 1
}

// project follows annexe C.1 of the guide; roman numbers there are letters here.
func (e ellipsoid) project(lat, lon float64) (easting, northing float64) {
	nu, rho, eta2 := e.radii(lat)
	sin, cos := math.Sincos(lat)
	t2, d := math.Pow(math.Tan(lat), 2), lon-gridLon
	northing = e.meridian(lat) + gridNorth +
		nu/2*sin*cos*d*d +
		nu/24*sin*math.Pow(cos, 3)*(5-t2+9*eta2)*math.Pow(d, 4) +
		nu/720*sin*math.Pow(cos, 5)*(61-58*t2+t2*t2)*math.Pow(d, 6)
	easting = gridEast + nu*cos*d +
		nu/6*math.Pow(cos, 3)*(nu/rho-t2)*math.Pow(d, 3) +
		nu/120*math.Pow(cos, 5)*(5-18*t2+t2*t2+14*eta2-58*t2*eta2)*math.Pow(d, 5)
	return easting, northing
}

// unproject follows annexe C.2.
func (e ellipsoid) unproject(easting, northing float64) (lat, lon float64) {
	lat = gridLat
	for range 20 {
		left := northing - gridNorth - e.meridian(lat)
		lat += left / (e.a * gridScale)
		if math.Abs(left) < 1e-5 {
			break
		}
	}
	nu, rho, eta2 := e.radii(lat)
	tan := math.Tan(lat)
	t2, sec, d := tan*tan, 1/math.Cos(lat), easting-gridEast
	lon = gridLon + sec/nu*d -
		sec/(6*math.Pow(nu, 3))*(nu/rho+2*t2)*math.Pow(d, 3) +
		sec/(120*math.Pow(nu, 5))*(5+28*t2+24*t2*t2)*math.Pow(d, 5) -
		sec/(5040*math.Pow(nu, 7))*(61+662*t2+1320*t2*t2+720*t2*t2*t2)*math.Pow(d, 7)
	lat += -tan/(2*rho*nu)*d*d +
		tan/(24*rho*math.Pow(nu, 3))*(5+3*t2+eta2-9*t2*eta2)*math.Pow(d, 4) -
		tan/(720*rho*math.Pow(nu, 5))*(61+90*t2+45*t2*t2)*math.Pow(d, 6)
	return lat, lon
}
