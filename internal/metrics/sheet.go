package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A sheet takes figures, one a line. Labels are pairs of name and value.
type sheet struct{ ch chan<- prometheus.Metric }

func (p sheet) gauge(metric, help string, v float64, labels ...string) {
	p.value(prometheus.GaugeValue, metric, help, v, labels)
}

func (p sheet) counter(metric, help string, v float64, labels ...string) {
	p.value(prometheus.CounterValue, metric, help, v, labels)
}

func (p sheet) value(kind prometheus.ValueType, metric, help string, v float64, labels []string) {
	names, values := pairs(labels)
	p.send(prometheus.NewConstMetric(prometheus.NewDesc(metric, help, names, nil), kind, v, values...))
}

func (p sheet) histogram(metric, help string, bounds []float64, counts []uint64, count uint64, sum float64, labels ...string) {
	names, values := pairs(labels)
	buckets := map[float64]uint64{}
	for i, b := range bounds {
		buckets[b] = counts[i]
	}
	p.send(prometheus.NewConstHistogram(prometheus.NewDesc(metric, help, names, nil), count, sum, buckets, values...))
}

func (p sheet) send(m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(prometheus.NewDesc("stile_internal_error", "A figure that could not be shown.", nil, nil), err)
	}
	p.ch <- m
}

func pairs(labels []string) (names, values []string) {
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, strings.ToValidUTF8(labels[i+1], "?"))
	}
	return names, values
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
