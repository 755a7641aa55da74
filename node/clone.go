package node

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// clone returns a copy of a request or reply that shares no memory with it, and
// is what somebody at the other end of the admin socket would have read: what is
// left out there when it is empty is nil here, times are in UTC, and JSON inside
// has no white space. It is for plain data: exported fields of structs, slices,
// maps and pointers of it. TestPlain holds that requests and replies are that.
func clone[T any](v T) T {
	var out T
	copyInto(reflect.ValueOf(&out).Elem(), reflect.ValueOf(&v).Elem(), false)
	return out
}

var (
	timeType = reflect.TypeFor[time.Time]()
	jsonType = reflect.TypeFor[json.RawMessage]()
)

// copyInto copies src into dst, which is zero. With omit set, src is left out of
// JSON when it is empty.
func copyInto(dst, src reflect.Value, omit bool) {
	switch src.Type() {
	case timeType:
		dst.Set(reflect.ValueOf(src.Interface().(time.Time).UTC().Round(0)))
		return
	case jsonType:
		raw := src.Bytes()
		if len(raw) == 0 {
			if !omit {
				dst.SetBytes([]byte("null"))
			}
			return
		}
		if !spaced(raw) {
			dst.SetBytes(bytes.Clone(raw))
			return
		}
		var b bytes.Buffer
		if json.Compact(&b, raw) != nil {
			b.Reset()
			b.Write(raw) // no JSON: whoever reads it says so
		}
		dst.SetBytes(b.Bytes())
		return
	}
	switch src.Kind() {
	case reflect.Pointer:
		if !src.IsNil() {
			dst.Set(reflect.New(src.Type().Elem()))
			copyInto(dst.Elem(), src.Elem(), false)
		}
	case reflect.Slice:
		if src.IsNil() || omit && src.Len() == 0 {
			return
		}
		dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
		if src.Type().Elem().Kind() == reflect.Uint8 {
			reflect.Copy(dst, src)
			return
		}
		for i := range src.Len() {
			copyInto(dst.Index(i), src.Index(i), false)
		}
	case reflect.Array:
		for i := range src.Len() {
			copyInto(dst.Index(i), src.Index(i), false)
		}
	case reflect.Map:
		if src.IsNil() || omit && src.Len() == 0 {
			return
		}
		dst.Set(reflect.MakeMapWithSize(src.Type(), src.Len()))
		for it := src.MapRange(); it.Next(); {
			v := reflect.New(src.Type().Elem()).Elem()
			copyInto(v, it.Value(), false)
			dst.SetMapIndex(it.Key(), v)
		}
	case reflect.Struct:
		for i := range src.NumField() {
			f := src.Type().Field(i)
			tag := f.Tag.Get("json")
			if !f.IsExported() || tag == "-" {
				continue
			}
			_, options, _ := strings.Cut(tag, ",")
			copyInto(dst.Field(i), src.Field(i), strings.Contains(options, "omitempty"))
		}
	default:
		dst.Set(src)
	}
}

// spaced reports whether there is white space in JSON outside its strings, for which a
// record of a large put is looked through faster than it is compacted.
func spaced(raw []byte) bool {
	text := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			text = !text
		case text && c == '\\':
			i++
		case !text && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			return true
		}
	}
	return false
}
