package document

// ReadWithin is Read with another limit on what is unpacked, so that a test need not
// unpack so much.
var ReadWithin = read
