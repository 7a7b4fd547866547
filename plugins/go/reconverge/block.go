package reconverge

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"unsafe"
)

// The kinds of a column, and the states of a cell, as wit/plugin.wit counts them.
const (
	bits, int64s, float64s, packed = 1, 2, 3, 4

	nullCell, valueCell, unsentCell, noRowCell = 0, 1, 2, 3
)

// Column is a column of a block, read in place.
type Column struct{ states, cells, data []byte }

var errBlock = errors.New("the block does not read")

// Read finds column k of a block of so many rows. An error where it is not of this kind or lies outside of the block.
func Read(block []byte, rows, k int, kind uint32) (Column, error) {
	if len(block) < 8 || word(block, 4) < 16 || k >= int(word(block, 0)) {
		return Column{}, errBlock
	}
	head := 8 + k*int(word(block, 4))
	if head+16 > len(block) || word(block, head) != kind {
		return Column{}, errBlock
	}
	states, cells, data := int(word(block, head+4)), int(word(block, head+8)), int(word(block, head+12))
	size, align := 8*rows, 8
	switch kind {
	case bits:
		size, align = rows, 1
	case packed:
		size, align = 4*rows+4, 4
	}
	if cells%align != 0 || cells+size > len(block) || states+rows > len(block) && states != 0 {
		return Column{}, errBlock
	}
	c := Column{cells: block[cells : cells+size]}
	if states != 0 {
		c.states = block[states : states+rows]
		for _, state := range c.states {
			if state > noRowCell {
				return Column{}, errBlock
			}
		}
	}
	if kind == packed {
		last := uint32(0)
		for i := range rows + 1 {
			next := word(c.cells, 4*i)
			if next < last || i == 0 && next != 0 {
				return Column{}, errBlock
			}
			last = next
		}
		if data+int(last) > len(block) {
			return Column{}, errBlock
		}
		c.data = block[data : data+int(last)]
	}
	return c, nil
}

func word(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }

// State of a cell.
func (c *Column) State(i int) byte {
	if c.states == nil {
		return valueCell
	}
	return c.states[i]
}

// Bit of a column of bits.
func (c *Column) Bit(i int) bool { return c.cells[i] != 0 }

// Int of a column of integers.
func (c *Column) Int(i int) int64 { return int64(binary.LittleEndian.Uint64(c.cells[8*i:])) }

// Float of a column of floats.
func (c *Column) Float(i int) float64 { return math.Float64frombits(uint64(c.Int(i))) }

// Bytes of a packed cell, in place.
func (c *Column) Bytes(i int) []byte { return c.data[word(c.cells, 4*i):word(c.cells, 4*i+4)] }

// Text of a packed cell, in place: the block lives as long as a string of it does.
func (c *Column) Text(i int) string {
	b := c.Bytes(i)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// answer is an answer in the making.
type answer struct {
	verdict, reason []byte
	reasons         []string
	writes          shape
	written         []any
	numbers         map[string]byte
}

func newAnswer(rows int, writes shape) *answer {
	return &answer{verdict: make([]byte, rows), writes: writes}
}

func (a *answer) say(i int, v Verdict) {
	a.verdict[i] = v.Code
	if v.write != nil {
		if a.written == nil {
			a.written = make([]any, len(a.verdict))
		}
		a.written[i] = v.write
	}
	if v.Reason == "" {
		return
	}
	if a.reason == nil {
		a.reason, a.numbers = make([]byte, len(a.verdict)), map[string]byte{}
	}
	number, known := a.numbers[v.Reason]
	if !known {
		if len(a.reasons) < 254 {
			a.reasons = append(a.reasons, v.Reason)
		} else if len(a.reasons) == 254 {
			a.reasons = append(a.reasons, "other")
		}
		number = byte(len(a.reasons))
		a.numbers[v.Reason] = number
	}
	a.reason[i] = number
}

// Where Null points: no value lies there.
var nullPlace = unsafe.Pointer(new([16]byte))

// block of the written columns; nil where nothing was written.
func (a *answer) block() []byte {
	if a.written == nil {
		return nil
	}
	rows := len(a.verdict)
	b := make([]byte, 8+16*len(a.writes))
	binary.LittleEndian.PutUint32(b, uint32(len(a.writes)))
	binary.LittleEndian.PutUint32(b[4:], 16)
	align := func(to int) int {
		for len(b)%to != 0 {
			b = append(b, 0)
		}
		return len(b)
	}
	for k, f := range a.writes {
		head, states := 8+16*k, len(b)
		b = append(b, make([]byte, rows)...)
		cells := align(8)
		var data []byte
		if f.kind == packed {
			b = binary.LittleEndian.AppendUint32(b, 0)
		}
		for i := range rows {
			cell, state := a.cell(i, k)
			b[states+i] = state
			switch f.kind {
			case bits:
				b = append(b, byte(cell.number))
			case packed:
				data = append(data, cell.bytes...)
				b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
			default:
				b = binary.LittleEndian.AppendUint64(b, cell.number)
			}
		}
		binary.LittleEndian.PutUint32(b[head:], f.kind)
		binary.LittleEndian.PutUint32(b[head+4:], uint32(states))
		binary.LittleEndian.PutUint32(b[head+8:], uint32(cells))
		if f.kind == packed {
			binary.LittleEndian.PutUint32(b[head+12:], uint32(len(b)))
			b = append(b, data...)
		}
	}
	return b
}

type written struct {
	number uint64
	bytes  []byte
}

// cell is what a row writes into column k, and its state.
func (a *answer) cell(i, k int) (written, byte) {
	if a.written[i] == nil {
		return written{}, unsentCell
	}
	value := reflect.ValueOf(a.written[i])
	for value.Kind() == reflect.Pointer {
		value = value.Elem()
	}
	value = value.Field(k)
	if value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return written{}, unsentCell
		}
		if value.UnsafePointer() == nullPlace {
			return written{}, nullCell
		}
		value = value.Elem()
	}
	switch value.Kind() {
	case reflect.Bool:
		if value.Bool() {
			return written{number: 1}, valueCell
		}
		return written{}, valueCell
	case reflect.Int64:
		return written{number: uint64(value.Int())}, valueCell
	case reflect.Float64:
		return written{number: math.Float64bits(value.Float())}, valueCell
	case reflect.String:
		return written{bytes: []byte(value.String())}, valueCell
	}
	return written{bytes: value.Bytes()}, valueCell
}
