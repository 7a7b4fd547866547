//go:build wasip1

package reconverge

import "unsafe"

// What the host allocated for this call, and the answer until the next one, kept from the collector.
var (
	given = map[uintptr][]byte{}
	held  []any
)

//go:wasmexport cabi_realloc
func realloc(old, oldSize, align, size uint32) uint32 {
	if size == 0 {
		return align
	}
	b := make([]byte, size+8)
	p := (uintptr(unsafe.Pointer(&b[0])) + 7) &^ 7
	if old != 0 {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(p)), size), unsafe.Slice((*byte)(unsafe.Pointer(uintptr(old))), min(oldSize, size)))
	}
	given[p] = b
	return uint32(p)
}

// area is a part of an answer in memory: words, and pairs of place and length.
type area []uint32

func (a *area) word(v uint32) { *a = append(*a, v) }

func (a *area) bytes(b []byte) {
	if len(b) == 0 {
		*a = append(*a, 4, 0)
		return
	}
	held = append(held, b)
	*a = append(*a, uint32(uintptr(unsafe.Pointer(&b[0]))), uint32(len(b)))
}

func (a *area) text(s string) { a.bytes([]byte(s)) }

func (a *area) list(of area, count int) {
	if count == 0 {
		*a = append(*a, 4, 0)
		return
	}
	held = append(held, []uint32(of))
	*a = append(*a, uint32(uintptr(unsafe.Pointer(&of[0]))), uint32(count))
}

func (a area) place() uint32 {
	held = append(held, []uint32(a))
	return uint32(uintptr(unsafe.Pointer(&a[0])))
}

func begin() { held = held[:0] }

//go:wasmexport describe
func describe() uint32 {
	begin()
	var a area
	for _, words := range []string{plugin.Name, plugin.Version, plugin.ConfigSchema, plugin.Extensions} {
		a.text(words)
	}
	return a.place()
}

//go:wasmexport open
func open(config, length, _, tables uint32) uint32 {
	begin()
	if plugin.Configure != nil {
		if err := plugin.Configure(string(view(config, length))); err != nil {
			return failed(err)
		}
	}
	specs := func(of []spec) (made area) {
		for _, s := range of {
			made.text(s.side)
			made.text(s.name)
			made.text(s.logical)
			made.word(1)
		}
		return made
	}
	var contracts area
	for t := range tables {
		contracts.word(t)
		contracts.list(specs(plugin.reads), len(plugin.reads))
		contracts.list(specs(plugin.writes), len(plugin.writes))
		contracts.text(plugin.promises)
	}
	a := area{0}
	a.list(contracts, int(tables))
	clear(given)
	return a.place()
}

//go:wasmexport run
func run(_, rows, block, length uint32) uint32 {
	begin()
	said, err := plugin.run(int(rows), view(block, length))
	clear(given)
	if err != nil {
		return failed(err)
	}
	var reasons area
	for _, words := range said.reasons {
		reasons.text(words)
	}
	a := area{0}
	a.bytes(said.verdict)
	a.bytes(said.reason)
	a.list(reasons, len(said.reasons))
	a.bytes(said.block())
	return a.place()
}

func failed(err error) uint32 {
	a := area{1}
	a.text(err.Error())
	// As long as an answer.
	for len(a) < 9 {
		a.word(0)
	}
	return a.place()
}

func view(place, length uint32) []byte {
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(place))), length)
}

//go:wasmimport reconverge:plugin/log@0.1.0 write
func hostLog(level int32, words unsafe.Pointer, length uint32)

// Log writes a line to the host's log: levels 0 debug, 1 info, 2 warn, 3 error. Lines are rate-limited; say nothing of a
// row.
func Log(level int, words string) {
	hostLog(int32(level), unsafe.Pointer(unsafe.StringData(words)), uint32(len(words)))
}
