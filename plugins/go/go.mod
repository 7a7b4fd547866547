module schedule-merge-go

go 1.24
