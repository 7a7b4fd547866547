// Customers: rows of the EU may be here, those of the US may not; of all others the phone number is taken out.
package main

import "NAME/reconverge"

// Customer is what the host hands over, Redacted what it takes back.
type Customer struct {
	Country string `column:"country"`
}

type Redacted struct {
	Phone *string `column:"phone"`
}

func decide(customer *Customer) reconverge.Verdict {
	switch customer.Country {
	case "eu":
		return reconverge.Keep
	case "us":
		return reconverge.Suppress
	}
	return reconverge.Write(&Redacted{Phone: reconverge.Null[string]()})
}

func init() {
	reconverge.Residency[Customer, Redacted](reconverge.Plugin{Name: "NAME", Version: "0.1.0"}, decide)
}

func main() {}
