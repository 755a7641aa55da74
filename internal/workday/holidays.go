package workday

// First and Last are the days that the table of bank holidays covers.
const (
	First = "2024-01-01"
	Last  = "2028-12-31"
)

// holidays are the bank holidays of England and Wales, in order, with the days that
// stand for those which fall on a weekend. Source: the page "UK bank holidays" of
// GOV.UK, division England and Wales, as published until November 2026, which goes to
// the end of 2028. Statutory basis: Banking and Financial Dealings Act 1971, Schedule
// 1, the royal proclamations under its section 1, and common law for Good Friday and
// Christmas Day. Whoever adds a year moves Last; the test works each date out again.
var holidays = []string{
	"2024-01-01", "2024-03-29", "2024-04-01", "2024-05-06", "2024-05-27", "2024-08-26", "2024-12-25", "2024-12-26",
	"2025-01-01", "2025-04-18", "2025-04-21", "2025-05-05", "2025-05-26", "2025-08-25", "2025-12-25", "2025-12-26",
	"2026-01-01", "2026-04-03", "2026-04-06", "2026-05-04", "2026-05-25", "2026-08-31", "2026-12-25", "2026-12-28",
	"2027-01-01", "2027-03-26", "2027-03-29", "2027-05-03", "2027-05-31", "2027-08-30", "2027-12-27", "2027-12-28",
	"2028-01-03", "2028-04-14", "2028-04-17", "2028-05-01", "2028-05-29", "2028-08-28", "2028-12-25", "2028-12-26",
}
