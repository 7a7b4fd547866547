// Orders: drafts and empty orders do not belong here.
package main

import "NAME/reconverge"

// Order is the contract: the host hands over these columns, and no others.
type Order struct {
	Status   string `column:"status"`
	Quantity int64  `column:"quantity"`
}

func decide(order *Order) reconverge.Verdict {
	if order.Status == "draft" {
		return reconverge.Drop.Because("a draft")
	}
	if order.Quantity <= 0 {
		return reconverge.Drop.Because("nothing was ordered")
	}
	return reconverge.Keep
}

func init() {
	reconverge.Filter(reconverge.Plugin{Name: "NAME", Version: "0.1.0"}, decide)
}

func main() {}
