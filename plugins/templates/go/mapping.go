// Shifts: the total of two columns, and a label for it.
package main

import "NAME/reconverge"

// Shift is what the host hands over, Totals what it takes back.
type Shift struct {
	Minutes  int64  `column:"minutes"`
	Overtime *int64 `column:"overtime"`
}

type Totals struct {
	Total int64  `column:"total"`
	Label string `column:"label"`
}

func decide(shift *Shift) reconverge.Verdict {
	if shift.Minutes < 0 {
		return reconverge.Fail("minutes are less than none")
	}
	totals := Totals{Total: shift.Minutes, Label: "normal"}
	if shift.Overtime != nil {
		totals.Total += *shift.Overtime
	}
	if totals.Total > 480 {
		totals.Label = "long"
	}
	return reconverge.Write(&totals)
}

func init() {
	reconverge.Mapping[Shift, Totals](reconverge.Plugin{Name: "NAME", Version: "0.1.0"}, decide)
}

func main() {}
