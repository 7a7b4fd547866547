package reconverge

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// The golden blocks of plugins/golden, where they are.
const golden = "../../golden"

type described struct {
	Rows     *int
	Readable *bool
	Base     string
	Columns  []struct {
		Logical string
		Cells   []any
	}
}

func describedIn(t *testing.T, name string) described {
	text, err := os.ReadFile(filepath.Join(golden, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var d described
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.Base != "" {
		base := describedIn(t, d.Base)
		d.Columns = base.Columns
		if d.Rows == nil {
			d.Rows = base.Rows
		}
	}
	return d
}

func kindOf(logical string) uint32 {
	switch logical {
	case "bool":
		return bits
	case "int", "timestamp", "date", "time":
		return int64s
	case "float":
		return float64s
	}
	return packed
}

func shown(c *Column, logical string, i int) any {
	switch c.State(i) {
	case nullCell:
		return nil
	case unsentCell:
		return map[string]any{"state": "unavailable"}
	case noRowCell:
		return map[string]any{"state": "no-row"}
	}
	switch {
	case kindOf(logical) == bits:
		return c.Bit(i)
	case kindOf(logical) == int64s:
		return strconv.FormatInt(c.Int(i), 10)
	case kindOf(logical) == float64s:
		return c.Float(i)
	case logical == "bytes" || logical == "uuid":
		return hex.EncodeToString(c.Bytes(i))
	}
	return c.Text(i)
}

func TestGoldenBlocks(t *testing.T) {
	files, _ := filepath.Glob(golden + "/*.bin")
	if len(files) == 0 {
		t.Fatal("the golden blocks were not found")
	}
	for _, file := range files {
		name := filepath.Base(file[:len(file)-4])
		block, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := describedIn(t, name)
		broken := d.Readable != nil && !*d.Readable
		faults := 0
		if len(block) < 8 || int(word(block, 0)) != len(d.Columns) || word(block, 4) < 16 {
			faults++
		}
		for k, of := range d.Columns {
			column, err := Read(block, *d.Rows, k, kindOf(of.Logical))
			if err != nil {
				faults++
				continue
			}
			for i := 0; !broken && i < *d.Rows; i++ {
				found, wanted := shown(&column, of.Logical, i), of.Cells[i]
				if float, ok := found.(float64); ok {
					number, _ := strconv.ParseFloat(fmt.Sprint(wanted), 64)
					if math.Float64bits(number) == math.Float64bits(float) || math.IsNaN(number) && math.IsNaN(float) {
						continue
					}
				}
				if fmt.Sprint(found) != fmt.Sprint(wanted) {
					t.Errorf("%s column %d row %d: %v, not %v", name, k, i, found, wanted)
				}
			}
		}
		// Text is checked by the host before a plugin sees it.
		if broken != (faults > 0) && name != "bad-text" {
			t.Errorf("%s: %d faults", name, faults)
		}
	}
}
