// Package reconverge is for plugins in Go: a struct is the contract, a function decides about one row.
//
// The fields of the struct, by their tag `column:"name,logical"`, are the columns that the host hands over. Types: bool,
// int64 (int; or timestamp, date, time), float64 (float), string (text; or decimal, json), []byte (bytes; or uuid). A
// plain field that is null or was not sent fails its change; a pointer is nil where the column is null. Of a written
// struct every pointer that is nil is left as it is; Null writes null.
//
// An instance is used for many calls and regions use different ones: keep nothing between calls that a decision reads.
package reconverge

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Verdict is what becomes of a row. Reasons are fixed words: they hold no value of the row.
type Verdict struct {
	Code   byte
	Reason string
	write  any
}

// The verdicts of the stages; Because, ArchiveLoser and Put add to them.
var (
	KeepCurrent  = Verdict{Code: 0}
	TakeIncoming = Verdict{Code: 1}
	Delete       = Verdict{Code: 3}
	Reject       = Verdict{Code: 4}
	Drop         = Verdict{Code: 0}
	Suppress     = Verdict{Code: 0}
	Keep         = Verdict{Code: 1}
)

// Because says why, in words for people.
func (v Verdict) Because(why string) Verdict { v.Reason = why; return v }

// ArchiveLoser keeps the version that loses, for audit.
func (v Verdict) ArchiveLoser() Verdict { v.Code |= 128; return v }

// Write keeps or takes the row with the fields of a struct put in place.
func Write(columns any) Verdict { return Verdict{Code: 2, write: columns} }

// Fail fails this change, and it alone.
func Fail(why string) Verdict { return Verdict{Code: 255, Reason: why} }

// Value is a field of a written struct.
func Value[T any](value T) *T { return &value }

// Null is a written field that becomes null: a pointer of any type that Write knows by its place.
func Null[T any]() *T { return (*T)(nullPlace) }

// Plugin is what a plugin says of itself.
type Plugin struct {
	Name, Version string
	// JSON Schema of its configuration; empty: it takes none.
	ConfigSchema string
	// Claims, a JSON object; empty: none.
	Extensions string
	// Called with the configuration before the first row; an error refuses it.
	Configure func(json string) error
}

type spec struct{ side, name, logical string }

// The one plugin of this component.
var plugin struct {
	Plugin
	reads, writes []spec
	promises      string
	run           func(rows int, block []byte) (*answer, error)
}

// Filter registers a filter: Drop or Keep.
func Filter[R any](about Plugin, decide func(row *R) Verdict) { rows[R, struct{}](about, decide) }

// Residency registers a residency rule that may redact the columns of W: Suppress, Keep, or Write.
func Residency[R, W any](about Plugin, decide func(row *R) Verdict) { rows[R, W](about, decide) }

// Mapping registers a mapping that may write the columns of W: Drop, Keep, or Write.
func Mapping[R, W any](about Plugin, decide func(row *R) Verdict) { rows[R, W](about, decide) }

// Merge registers a merge: KeepCurrent, TakeIncoming, Delete or Reject.
func Merge[R any](about Plugin, decide func(incoming, current *R) Verdict) {
	MergeWriting[R, struct{}](about, decide)
}

// MergeWriting registers a merge that may also Write the columns of W.
func MergeWriting[R, W any](about Plugin, decide func(incoming, current *R) Verdict) {
	shape, writes := shapeOf[R](), shapeOf[W]()
	plugin.Plugin = about
	plugin.reads = append(shape.specs("after"), shape.specs("current")...)
	plugin.writes = writes.specs("after")
	plugin.promises = shape.promises()
	plugin.run = func(rows int, block []byte) (*answer, error) {
		after, err := shape.open(block, rows, 0)
		if err != nil {
			return nil, err
		}
		standing, err := shape.open(block, rows, len(shape))
		if err != nil {
			return nil, err
		}
		said := newAnswer(rows, writes)
		var incoming, current R
		for i := range rows {
			if isNone(standing, i) {
				said.say(i, TakeIncoming)
			} else if isNone(after, i) {
				said.say(i, Delete.ArchiveLoser())
			} else if gap := shape.read(after, i, reflect.ValueOf(&incoming).Elem(), "incoming "); gap != "" {
				said.say(i, Fail(gap))
			} else if gap := shape.read(standing, i, reflect.ValueOf(&current).Elem(), "current "); gap != "" {
				said.say(i, Fail(gap))
			} else {
				said.say(i, decide(&incoming, &current))
			}
		}
		return said, nil
	}
}

func rows[R, W any](about Plugin, decide func(row *R) Verdict) {
	shape, writes := shapeOf[R](), shapeOf[W]()
	plugin.Plugin = about
	plugin.reads, plugin.writes = shape.specs("after"), writes.specs("after")
	plugin.promises = shape.promises()
	plugin.run = func(rows int, block []byte) (*answer, error) {
		columns, err := shape.open(block, rows, 0)
		if err != nil {
			return nil, err
		}
		said := newAnswer(rows, writes)
		var row R
		for i := range rows {
			if isNone(columns, i) {
				said.say(i, Keep)
			} else if gap := shape.read(columns, i, reflect.ValueOf(&row).Elem(), ""); gap != "" {
				said.say(i, Fail(gap))
			} else {
				said.say(i, decide(&row))
			}
		}
		return said, nil
	}
}

// field is a column of a struct.
type field struct {
	name, logical string
	kind          uint32
	optional      bool
}

// shape is the columns of a struct, in the order of its fields.
type shape []field

func shapeOf[R any]() shape {
	var made shape
	kind := reflect.TypeFor[R]()
	for k := range kind.NumField() {
		of := kind.Field(k)
		name, logical, _ := strings.Cut(of.Tag.Get("column"), ",")
		if name == "" {
			name = strings.ToLower(of.Name)
		}
		column, optional := of.Type, of.Type.Kind() == reflect.Pointer
		if optional {
			column = column.Elem()
		}
		layout, plain := layoutOf(column)
		if layout == 0 {
			panic(fmt.Sprintf("field %s: no column has type %s", of.Name, of.Type))
		}
		if logical == "" {
			logical = plain
		}
		made = append(made, field{name, logical, layout, optional})
	}
	return made
}

func layoutOf(column reflect.Type) (uint32, string) {
	switch column.Kind() {
	case reflect.Bool:
		return bits, "bool"
	case reflect.Int64:
		return int64s, "int"
	case reflect.Float64:
		return float64s, "float"
	case reflect.String:
		return packed, "text"
	case reflect.Slice:
		return packed, "bytes"
	}
	return 0, ""
}

// promises is what the contract says beyond types: columns that are never null where the rule is to decide, and those that
// are sent. `reconverge plugin laws` makes its rows by it.
func (s shape) promises() string {
	var plain, sent []string
	for _, f := range s {
		name := strconv.Quote(f.name)
		if !f.optional {
			plain = append(plain, name)
		}
		sent = append(sent, name)
	}
	return `{"not-null":[` + strings.Join(plain, ",") + `],"sent":[` + strings.Join(sent, ",") + `]}`
}

func (s shape) specs(side string) []spec {
	var made []spec
	for _, f := range s {
		made = append(made, spec{side, f.name, f.logical})
	}
	return made
}

func (s shape) open(block []byte, rows, first int) ([]Column, error) {
	columns := make([]Column, len(s))
	for k, f := range s {
		column, err := Read(block, rows, first+k, f.kind)
		if err != nil {
			return nil, err
		}
		columns[k] = column
	}
	return columns, nil
}

func isNone(columns []Column, i int) bool {
	for k := range columns {
		if columns[k].State(i) != noRowCell {
			return false
		}
	}
	return len(columns) > 0
}

// read fills the fields of a row; else it says why the change fails.
func (s shape) read(columns []Column, i int, into reflect.Value, side string) string {
	for k := range s {
		c, to := &columns[k], into.Field(k)
		switch state := c.State(i); {
		case state == nullCell && s[k].optional:
			to.SetZero()
			continue
		case state == nullCell:
			return side + "column " + s[k].name + " is null"
		case state == unsentCell:
			return side + "column " + s[k].name + " was not sent"
		case state != valueCell:
			return side + "column " + s[k].name + " has no row"
		}
		if s[k].optional {
			to.Set(reflect.New(to.Type().Elem()))
			to = to.Elem()
		}
		switch s[k].kind {
		case bits:
			to.SetBool(c.Bit(i))
		case int64s:
			to.SetInt(c.Int(i))
		case float64s:
			to.SetFloat(c.Float(i))
		default:
			if to.Kind() == reflect.String {
				to.SetString(c.Text(i))
			} else {
				to.SetBytes(c.Bytes(i))
			}
		}
	}
	return ""
}
