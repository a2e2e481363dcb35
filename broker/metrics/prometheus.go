package metrics

import "github.com/prometheus/client_golang/prometheus"

// series maps a total to its Prometheus time series.
type series struct {
	desc   *prometheus.Desc
	labels []string
}

func described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("godwit_"+name, help, labels, nil)
}

var (
	descBytesReceived   = described("bytes_received_total", "Bytes received from clients, those of TLS and WebSocket among them.")
	descBytesSent       = described("bytes_sent_total", "Bytes sent to clients, those of TLS and WebSocket among them.")
	descPacketsReceived = described("packets_received_total", "Control packets received.")
	descPacketsSent     = described("packets_sent_total", "Control packets sent.")
	descReceived        = described("messages_received_total", "PUBLISH packets received.", "qos")
	descUnstored        = described("messages_refused_total", "PUBLISH packets refused because the store takes nothing new.")
	descSent            = described("messages_sent_total", "PUBLISH packets sent.", "qos")
	descDropped         = described("messages_dropped_total", "Messages that were taken, and not delivered to a session or not kept as retained.", "reason")
	descAccepted        = described("connections_accepted_total", "Network connections accepted.")
	descRefused         = described("connections_refused_total", "Network connections that were not taken: the limits of their listener, or that of open files.")
	descDisplaced       = described("connections_displaced_total", "Network connections ended before CONNECT was answered, to make room for newer ones.")
	descClosed          = described("connections_closed_total", "Network connections that ended.")
	descErrors          = described("protocol_errors_total", "Connections ended for breaking the protocol.")
	descThrottled       = described("publish_throttled_total", "PUBLISH packets after which a connection was not read for a while, for its user's publish rate.")
	descFailed          = described("connections_failed_total", "Network connections that ended before MQTT, by what was not valid: the PROXY protocol header or the upgrade to WebSocket.", "at")
	descTooLarge        = described("packets_too_large_total", "Connections ended for a control packet that was larger than the Broker or the user allows.")
	descStoreDelayed    = described("store_delayed_total", "Packets that had to wait, because too much waited for the store already.")
	descShed            = described("shed_total", "What was refused or ended because memory or disk was short: new sessions, and connections that much was held for.", "what")
	descConnections     = described("connections", "Clients that are connected.")
	descSessions        = described("sessions", "Sessions, connected or not.")
	descSubscriptions   = described("subscriptions", "Subscriptions of all sessions.")
	descRetained        = described("retained_messages", "Retained messages.")
	descRetainedBytes   = described("retained_bytes", "Bytes of retained messages.")
	descStoredMessages  = described("stored_messages", "Messages that wait for sessions in the store alone, not in memory.")
	descStoreHealthy    = described("store_healthy", "1 if the store takes messages and sessions, 0 if it has failed or has no space left.")
	descStoreDamaged    = described("store_damaged_records", "Records that could not be read when the broker started.")
	descStoreBytes      = described("store_bytes", "Bytes that the store takes on disk.")
	descStoreFree       = described("store_free_bytes", "Bytes that are free on the disk of the store, its reserve not among them; 0 where it is on none.")
	descStoreBacklog    = described("store_backlog_bytes", "Bytes of memory, about, that wait to be written to the disk.")
	descHandshakes      = described("tls_handshakes_waiting", "TLS handshakes that wait for their turn to compute.")
	descLogins          = described("logins_waiting", "Passwords that wait for their turn to be checked.")
)

var totals = [counters]series{
	BytesReceived:        {descBytesReceived, nil},
	BytesSent:            {descBytesSent, nil},
	PacketsReceived:      {descPacketsReceived, nil},
	PacketsSent:          {descPacketsSent, nil},
	PublishReceivedQoS0:  {descReceived, []string{"0"}},
	PublishReceivedQoS1:  {descReceived, []string{"1"}},
	PublishReceivedQoS2:  {descReceived, []string{"2"}},
	PublishRefused:       {descUnstored, nil},
	PublishSentQoS0:      {descSent, []string{"0"}},
	PublishSentQoS1:      {descSent, []string{"1"}},
	PublishSentQoS2:      {descSent, []string{"2"}},
	DroppedQueueFull:     {descDropped, []string{"queue_full"}},
	DroppedSlowConsumer:  {descDropped, []string{"slow_consumer"}},
	DroppedTooLarge:      {descDropped, []string{"too_large"}},
	DroppedExpired:       {descDropped, []string{"expired"}},
	DroppedUnauthorized:  {descDropped, []string{"unauthorized"}},
	DroppedRetainedFull:  {descDropped, []string{"retained_full"}},
	DroppedLost:          {descDropped, []string{"lost"}},
	ConnectionsAccepted:  {descAccepted, nil},
	ConnectionsRefused:   {descRefused, nil},
	ConnectionsDisplaced: {descDisplaced, nil},
	ConnectionsClosed:    {descClosed, nil},
	ProtocolErrors:       {descErrors, nil},
	PublishThrottled:     {descThrottled, nil},
	SessionsShed:         {descShed, []string{"session"}},
	ConnectionsShed:      {descShed, []string{"connection"}},
	StoreDelayed:         {descStoreDelayed, nil},
	FailedProxyHeaders:   {descFailed, []string{"proxy_header"}},
	FailedUpgrades:       {descFailed, []string{"websocket_upgrade"}},
	PacketsTooLarge:      {descTooLarge, nil},
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for i, s := range totals {
		ch <- prometheus.MustNewConstMetric(s.desc, prometheus.CounterValue, float64(m.totals[i].Load()), s.labels...)
	}
	m.denied.Collect(ch)
	m.unkept.Collect(ch)
	m.logins.Collect(ch)
	m.ended.Collect(ch)
	m.handshakes.Collect(ch)
	if g := m.gauges.Load(); g != nil {
		g.collect(ch)
	}
}

func (g *Gauges) collect(ch chan<- prometheus.Metric) {
	for desc, read := range map[*prometheus.Desc]func() float64{
		descConnections:    g.Connections,
		descSessions:       g.Sessions,
		descSubscriptions:  g.Subscriptions,
		descRetained:       g.Retained,
		descRetainedBytes:  g.RetainedBytes,
		descStoredMessages: g.StoredMessages,
		descStoreHealthy:   g.StoreHealthy,
		descStoreDamaged:   g.StoreDamaged,
		descStoreBytes:     g.StoreBytes,
		descStoreBacklog:   g.StoreBacklog,
		descStoreFree:      g.StoreFree,
		descHandshakes:     g.HandshakesWaiting,
		descLogins:         g.LoginsWaiting,
	} {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, read())
	}
}
