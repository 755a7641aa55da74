package standard

// schemas compares the two schemas.
func (c *comparison) schemas() {}
