// Package quota bounds what others can cause this node to hold or to do.
package quota
