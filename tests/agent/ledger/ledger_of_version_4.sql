BEGIN TRANSACTION;
CREATE TABLE alerts (
	id INTEGER NOT NULL, 
	run_id VARCHAR(32), 
	device VARCHAR(16) NOT NULL, 
	alert_code INTEGER, 
	octets BLOB NOT NULL, 
	verified BOOLEAN NOT NULL, 
	detail TEXT NOT NULL, 
	received_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_alerts PRIMARY KEY (id), 
	CONSTRAINT fk_alerts_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT ck_alerts_verified CHECK (verified IN (0, 1))
);
CREATE TABLE api_tokens (
	id VARCHAR(12) NOT NULL, 
	name TEXT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	scopes TEXT NOT NULL, 
	created_at VARCHAR(27) NOT NULL, 
	expires_at VARCHAR(27), 
	revoked_at VARCHAR(27), 
	CONSTRAINT pk_api_tokens PRIMARY KEY (id)
);
CREATE TABLE attempts (
	id INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	duty_id TEXT NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	requirement VARCHAR(20) NOT NULL, 
	started_at VARCHAR(27) NOT NULL, 
	finished_at VARCHAR(27), 
	outcome VARCHAR(40), 
	detail TEXT NOT NULL, 
	evidence TEXT NOT NULL, 
	CONSTRAINT pk_attempts PRIMARY KEY (id), 
	CONSTRAINT fk_attempts_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT ck_attempts_outcome CHECK (outcome IN ('done', 'failed', 'interrupted'))
);
CREATE TABLE cell_snapshots (
	id INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	role SMALLINT NOT NULL, 
	key_usage SMALLINT NOT NULL, 
	cell_usage SMALLINT NOT NULL, 
	entity_id VARCHAR(16) NOT NULL, 
	subject_key_identifier BLOB NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_cell_snapshots PRIMARY KEY (id), 
	CONSTRAINT fk_cell_snapshots_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE certificates (
	fingerprint VARCHAR(64) NOT NULL, 
	der BLOB NOT NULL, 
	recorded_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_certificates PRIMARY KEY (fingerprint)
);
CREATE TABLE clock_findings (
	id INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	fault VARCHAR(40) NOT NULL, 
	by_ms BIGINT NOT NULL, 
	detail TEXT NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_clock_findings PRIMARY KEY (id), 
	CONSTRAINT fk_clock_findings_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT ck_clock_findings_clockfault CHECK (fault IN ('unset', 'behind', 'far-ahead', 'stepped'))
);
CREATE TABLE clock_marks (
	id INTEGER NOT NULL, 
	latest VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_clock_marks PRIMARY KEY (id)
);
CREATE TABLE deliveries (
	event_id VARCHAR(36) NOT NULL, 
	upstream VARCHAR(80) NOT NULL, 
	delivered_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_deliveries PRIMARY KEY (event_id, upstream), 
	CONSTRAINT fk_deliveries_event_id FOREIGN KEY(event_id) REFERENCES events (id)
);
CREATE TABLE device_certificates (
	id INTEGER NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	key_usage SMALLINT NOT NULL, 
	certificate BLOB NOT NULL, 
	key_change_id INTEGER, 
	certain BOOLEAN NOT NULL, 
	since VARCHAR(27) NOT NULL, 
	until VARCHAR(27), 
	CONSTRAINT pk_device_certificates PRIMARY KEY (id), 
	CONSTRAINT fk_device_certificates_key_change_id FOREIGN KEY(key_change_id) REFERENCES key_changes (id), 
	CONSTRAINT ck_device_certificates_certain CHECK (certain IN (0, 1))
);
CREATE TABLE device_facts (
	id INTEGER NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	value TEXT NOT NULL, 
	at VARCHAR(27), 
	source TEXT NOT NULL, 
	recorded_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_device_facts PRIMARY KEY (id)
);
CREATE TABLE discarded_events (
	upstream VARCHAR(80) NOT NULL, 
	number INTEGER NOT NULL, 
	reason TEXT NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_discarded_events PRIMARY KEY (upstream, number), 
	CONSTRAINT fk_discarded_events_upstream FOREIGN KEY(upstream) REFERENCES upstreams (name), 
	CONSTRAINT fk_discarded_events_number FOREIGN KEY(number) REFERENCES events (number)
);
CREATE TABLE events (
	number INTEGER NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	type VARCHAR(40) NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	body TEXT NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (number), 
	CONSTRAINT uq_events_id UNIQUE (id), 
	CONSTRAINT ck_events_eventtype CHECK (type IN ('duty-outcome', 'smi-status-changed', 'notice', 'flag', 'security-incident'))
);
CREATE TABLE exchanges (
	id INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	attempt_id INTEGER, 
	device VARCHAR(16) NOT NULL, 
	originator VARCHAR(16) NOT NULL, 
	counter BIGINT NOT NULL, 
	message_code INTEGER NOT NULL, 
	command BLOB NOT NULL, 
	sent_at VARCHAR(27) NOT NULL, 
	response BLOB, 
	verified BOOLEAN, 
	outcome VARCHAR(40), 
	detail TEXT NOT NULL, 
	finished_at VARCHAR(27), 
	CONSTRAINT pk_exchanges PRIMARY KEY (id), 
	CONSTRAINT uq_exchanges_originator_counter UNIQUE (originator, counter), 
	CONSTRAINT fk_exchanges_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT fk_exchanges_attempt_id FOREIGN KEY(attempt_id) REFERENCES attempts (id), 
	CONSTRAINT ck_exchanges_verified CHECK (verified IN (0, 1)), 
	CONSTRAINT ck_exchanges_exchangeoutcome CHECK (outcome IN ('verified', 'rejected', 'no-response', 'not-sent', 'interrupted'))
);
CREATE TABLE facts_to_come (
	device VARCHAR(16) NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_facts_to_come PRIMARY KEY (device, at)
);
CREATE TABLE failed_steps (
	suspension_id INTEGER NOT NULL, 
	requirement VARCHAR(20) NOT NULL, 
	failed_at VARCHAR(27) NOT NULL, 
	completed_at VARCHAR(27), 
	CONSTRAINT pk_failed_steps PRIMARY KEY (suspension_id, requirement), 
	CONSTRAINT fk_failed_steps_suspension_id FOREIGN KEY(suspension_id) REFERENCES suspensions (id)
);
CREATE TABLE key_change_moves (
	id INTEGER NOT NULL, 
	key_change_id INTEGER NOT NULL, 
	state VARCHAR(40) NOT NULL, 
	detail TEXT NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_key_change_moves PRIMARY KEY (id), 
	CONSTRAINT fk_key_change_moves_key_change_id FOREIGN KEY(key_change_id) REFERENCES key_changes (id), 
	CONSTRAINT ck_key_change_moves_keychangestate CHECK (state IN ('requested', 'csr-received', 'certificate-issued', 'storing', 'stored', 'confirmed', 'abandoned'))
);
CREATE TABLE key_changes (
	id INTEGER NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	key_usage SMALLINT NOT NULL, 
	state VARCHAR(40) NOT NULL, 
	run_id VARCHAR(32), 
	csr BLOB, 
	certificate BLOB, 
	requested_at VARCHAR(27) NOT NULL, 
	changed_at VARCHAR(27) NOT NULL, 
	ended BOOLEAN NOT NULL, 
	CONSTRAINT pk_key_changes PRIMARY KEY (id), 
	CONSTRAINT ck_key_changes_keychangestate CHECK (state IN ('requested', 'csr-received', 'certificate-issued', 'storing', 'stored', 'confirmed', 'abandoned')), 
	CONSTRAINT fk_key_changes_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT ck_key_changes_ended CHECK (ended IN (0, 1))
);
CREATE TABLE lagging_devices (
	upstream VARCHAR(80) NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	position BIGINT NOT NULL, 
	parked_number BIGINT, 
	CONSTRAINT pk_lagging_devices PRIMARY KEY (upstream, device), 
	CONSTRAINT fk_lagging_devices_upstream FOREIGN KEY(upstream) REFERENCES upstreams (name)
);
CREATE TABLE ledger_identity (
	id INTEGER NOT NULL, 
	uuid VARCHAR(36) NOT NULL, 
	CONSTRAINT pk_ledger_identity PRIMARY KEY (id)
);
CREATE TABLE ledger_schema (
	version INTEGER NOT NULL, 
	CONSTRAINT pk_ledger_schema PRIMARY KEY (version)
);
INSERT INTO "ledger_schema" VALUES(4);
CREATE TABLE local_batches (
	id VARCHAR(32) NOT NULL, 
	rig_name TEXT NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	rule VARCHAR(40) NOT NULL, 
	taken_in_at VARCHAR(27) NOT NULL, 
	finished_at VARCHAR(27), 
	outcome VARCHAR(40), 
	detail TEXT NOT NULL, 
	CONSTRAINT pk_local_batches PRIMARY KEY (id), 
	CONSTRAINT ck_local_batches_batchrule CHECK (rule IN ('stop', 'go-on')), 
	CONSTRAINT ck_local_batches_runoutcome CHECK (outcome IN ('done', 'failed', 'needs-person', 'error', 'interrupted'))
);
CREATE TABLE local_commands (
	id INTEGER NOT NULL, 
	batch_id VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	originator VARCHAR(16) NOT NULL, 
	counter VARCHAR(20) NOT NULL, 
	message_code INTEGER NOT NULL, 
	request_id VARCHAR(80) NOT NULL, 
	source TEXT NOT NULL, 
	octets BLOB NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	remarks TEXT NOT NULL, 
	expires_at VARCHAR(27) NOT NULL, 
	state VARCHAR(40) NOT NULL, 
	sendings INTEGER NOT NULL, 
	first_sent_at VARCHAR(27), 
	last_sent_at VARCHAR(27), 
	answer BLOB, 
	verification VARCHAR(40), 
	detail TEXT NOT NULL, 
	settled_at VARCHAR(27), 
	return_id VARCHAR(80) NOT NULL, 
	CONSTRAINT pk_local_commands PRIMARY KEY (id), 
	CONSTRAINT uq_local_commands_batch_id_position UNIQUE (batch_id, position), 
	CONSTRAINT fk_local_commands_batch_id FOREIGN KEY(batch_id) REFERENCES local_batches (id), 
	CONSTRAINT ck_local_commands_localcommandstate CHECK (state IN ('waiting', 'sent', 'unanswered', 'answered', 'refused', 'rejected', 'expired', 'replayed', 'withdrawn')), 
	CONSTRAINT ck_local_commands_verification CHECK (verification IN ('verified', 'not-verifiable-here', 'failed'))
);
CREATE TABLE local_sittings (
	id INTEGER NOT NULL, 
	operation_id VARCHAR(32) NOT NULL, 
	batch_id VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_local_sittings PRIMARY KEY (id), 
	CONSTRAINT uq_local_sittings_operation_id UNIQUE (operation_id), 
	CONSTRAINT fk_local_sittings_operation_id FOREIGN KEY(operation_id) REFERENCES operations (id), 
	CONSTRAINT fk_local_sittings_batch_id FOREIGN KEY(batch_id) REFERENCES local_batches (id)
);
CREATE TABLE open_duties (
	device VARCHAR(16) NOT NULL, 
	requirement VARCHAR(20) NOT NULL, 
	due_by VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_open_duties PRIMARY KEY (device, requirement)
);
CREATE TABLE operation_events (
	operation_id VARCHAR(32) NOT NULL, 
	number INTEGER NOT NULL, 
	type VARCHAR(60) NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	body TEXT NOT NULL, 
	CONSTRAINT pk_operation_events PRIMARY KEY (operation_id, number), 
	CONSTRAINT fk_operation_events_operation_id FOREIGN KEY(operation_id) REFERENCES operations (id)
);
CREATE TABLE operations (
	id VARCHAR(32) NOT NULL, 
	rig_name TEXT NOT NULL, 
	requested_by TEXT NOT NULL, 
	requested_at VARCHAR(27) NOT NULL, 
	request TEXT NOT NULL, 
	finished_at VARCHAR(27), 
	result VARCHAR(20), 
	problem TEXT, 
	CONSTRAINT pk_operations PRIMARY KEY (id)
);
CREATE TABLE originator_counters (
	originator VARCHAR(16) NOT NULL, 
	counter BIGINT NOT NULL, 
	reserved_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_originator_counters PRIMARY KEY (originator)
);
CREATE TABLE parked_events (
	upstream VARCHAR(80) NOT NULL, 
	number INTEGER NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	by_person BOOLEAN NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_parked_events PRIMARY KEY (upstream, number), 
	CONSTRAINT fk_parked_events_upstream FOREIGN KEY(upstream) REFERENCES upstreams (name), 
	CONSTRAINT fk_parked_events_number FOREIGN KEY(number) REFERENCES events (number), 
	CONSTRAINT ck_parked_events_by_person CHECK (by_person IN (0, 1))
);
CREATE TABLE planned_devices (
	device VARCHAR(16) NOT NULL, 
	rig_name TEXT NOT NULL, 
	rule_set VARCHAR(64) NOT NULL, 
	actors TEXT NOT NULL, 
	CONSTRAINT pk_planned_devices PRIMARY KEY (device), 
	CONSTRAINT fk_planned_devices_rule_set FOREIGN KEY(rule_set) REFERENCES rule_sets (digest)
);
CREATE TABLE rule_sets (
	digest VARCHAR(64) NOT NULL, 
	edition TEXT NOT NULL, 
	text TEXT NOT NULL, 
	recorded_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_rule_sets PRIMARY KEY (digest)
);
CREATE TABLE run_certificates (
	run_id VARCHAR(32) NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_run_certificates PRIMARY KEY (run_id, fingerprint), 
	CONSTRAINT fk_run_certificates_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT fk_run_certificates_fingerprint FOREIGN KEY(fingerprint) REFERENCES certificates (fingerprint)
);
CREATE TABLE run_contexts (
	run_id VARCHAR(32) NOT NULL, 
	rule_set VARCHAR(64) NOT NULL, 
	parties TEXT NOT NULL, 
	agent_version TEXT NOT NULL, 
	CONSTRAINT pk_run_contexts PRIMARY KEY (run_id), 
	CONSTRAINT fk_run_contexts_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT fk_run_contexts_rule_set FOREIGN KEY(rule_set) REFERENCES rule_sets (digest)
);
CREATE TABLE runs (
	id VARCHAR(32) NOT NULL, 
	rig_name TEXT NOT NULL, 
	started_at VARCHAR(27) NOT NULL, 
	finished_at VARCHAR(27), 
	outcome VARCHAR(40), 
	CONSTRAINT pk_runs PRIMARY KEY (id), 
	CONSTRAINT ck_runs_runoutcome CHECK (outcome IN ('done', 'failed', 'needs-person', 'error', 'interrupted'))
);
CREATE TABLE scheduled_replacements (
	id INTEGER NOT NULL, 
	attempt_id INTEGER NOT NULL, 
	exchange_id INTEGER NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	requirement VARCHAR(20) NOT NULL, 
	originator VARCHAR(16) NOT NULL, 
	counter BIGINT NOT NULL, 
	execution_at VARCHAR(27) NOT NULL, 
	state VARCHAR(40) NOT NULL, 
	alert_id INTEGER, 
	settled_at VARCHAR(27), 
	detail TEXT NOT NULL, 
	CONSTRAINT pk_scheduled_replacements PRIMARY KEY (id), 
	CONSTRAINT fk_scheduled_replacements_attempt_id FOREIGN KEY(attempt_id) REFERENCES attempts (id), 
	CONSTRAINT fk_scheduled_replacements_exchange_id FOREIGN KEY(exchange_id) REFERENCES exchanges (id), 
	CONSTRAINT ck_scheduled_replacements_scheduledstate CHECK (state IN ('waiting', 'done', 'failed', 'cancelled', 'lapsed')), 
	CONSTRAINT fk_scheduled_replacements_alert_id FOREIGN KEY(alert_id) REFERENCES alerts (id)
);
CREATE TABLE service_documents (
	id INTEGER NOT NULL, 
	run_id VARCHAR(32), 
	exchange_id INTEGER, 
	device VARCHAR(16), 
	request_id VARCHAR(70) NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	service VARCHAR(20) NOT NULL, 
	document BLOB NOT NULL, 
	signer TEXT NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	taken_at VARCHAR(27), 
	detail TEXT NOT NULL, 
	CONSTRAINT pk_service_documents PRIMARY KEY (id), 
	CONSTRAINT fk_service_documents_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT fk_service_documents_exchange_id FOREIGN KEY(exchange_id) REFERENCES exchanges (id), 
	CONSTRAINT ck_service_documents_servicedocumentkind CHECK (kind IN ('request', 'answer', 'response', 'device-alert', 'dcc-alert'))
);
CREATE TABLE smi_statuses (
	id INTEGER NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	status VARCHAR(40) NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	cause TEXT NOT NULL, 
	clause VARCHAR(20) NOT NULL, 
	recorded_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_smi_statuses PRIMARY KEY (id), 
	CONSTRAINT ck_smi_statuses_smistatus CHECK (status IN ('Pending', 'Whitelisted', 'InstalledNotCommissioned', 'Commissioned', 'Decommissioned', 'Withdrawn', 'Suspended', 'Recovery', 'Recovered'))
);
CREATE TABLE status_instructions (
	id INTEGER NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	status VARCHAR(40) NOT NULL, 
	instead_of VARCHAR(40), 
	clause VARCHAR(20) NOT NULL, 
	reason TEXT NOT NULL, 
	since VARCHAR(27) NOT NULL, 
	ended_at VARCHAR(27), 
	ended_by VARCHAR(40), 
	detail TEXT NOT NULL, 
	CONSTRAINT pk_status_instructions PRIMARY KEY (id), 
	CONSTRAINT ck_status_instructions_smistatus CHECK (status IN ('Pending', 'Whitelisted', 'InstalledNotCommissioned', 'Commissioned', 'Decommissioned', 'Withdrawn', 'Suspended', 'Recovery', 'Recovered')), 
	CONSTRAINT ck_status_instructions_instead_of CHECK (instead_of IN ('Pending', 'Whitelisted', 'InstalledNotCommissioned', 'Commissioned', 'Decommissioned', 'Withdrawn', 'Suspended', 'Recovery', 'Recovered')), 
	CONSTRAINT ck_status_instructions_instructionend CHECK (ended_by IN ('confirmed', 'withdrawn', 'superseded'))
);
CREATE TABLE suspensions (
	id INTEGER NOT NULL, 
	device VARCHAR(16) NOT NULL, 
	clause VARCHAR(20) NOT NULL, 
	held_before VARCHAR(40), 
	reason TEXT NOT NULL, 
	since VARCHAR(27) NOT NULL, 
	until VARCHAR(27), 
	ended_by VARCHAR(40), 
	CONSTRAINT pk_suspensions PRIMARY KEY (id), 
	CONSTRAINT ck_suspensions_smistatus CHECK (held_before IN ('Pending', 'Whitelisted', 'InstalledNotCommissioned', 'Commissioned', 'Decommissioned', 'Withdrawn', 'Suspended', 'Recovery', 'Recovered')), 
	CONSTRAINT ck_suspensions_suspensionend CHECK (ended_by IN ('restored', 'superseded'))
);
CREATE TABLE upstreams (
	name VARCHAR(80) NOT NULL, 
	position BIGINT NOT NULL, 
	reads_deliveries BOOLEAN NOT NULL, 
	first_seen_at VARCHAR(27) NOT NULL, 
	last_told_at VARCHAR(27), 
	failures INTEGER NOT NULL, 
	stopped BOOLEAN NOT NULL, 
	retry_at VARCHAR(27), 
	retry_asked BOOLEAN NOT NULL, 
	last_error TEXT, 
	last_error_at VARCHAR(27), 
	CONSTRAINT pk_upstreams PRIMARY KEY (name), 
	CONSTRAINT ck_upstreams_reads_deliveries CHECK (reads_deliveries IN (0, 1)), 
	CONSTRAINT ck_upstreams_stopped CHECK (stopped IN (0, 1)), 
	CONSTRAINT ck_upstreams_retry_asked CHECK (retry_asked IN (0, 1))
);
CREATE INDEX ix_runs_rig_name ON runs (rig_name);
CREATE INDEX ix_smi_statuses_device ON smi_statuses (device);
CREATE INDEX ix_suspensions_device ON suspensions (device);
CREATE UNIQUE INDEX uq_suspensions_open ON suspensions (device) WHERE until IS NULL;
CREATE UNIQUE INDEX uq_status_instructions_waiting ON status_instructions (device) WHERE ended_at IS NULL;
CREATE INDEX ix_status_instructions_device ON status_instructions (device);
CREATE INDEX ix_events_device ON events (device);
CREATE INDEX ix_device_facts_device ON device_facts (device);
CREATE INDEX ix_open_duties_due_by ON open_duties (due_by, device, requirement);
CREATE INDEX ix_facts_to_come_at ON facts_to_come (at);
CREATE INDEX ix_local_batches_device ON local_batches (device);
CREATE INDEX ix_local_batches_digest ON local_batches (digest);
CREATE INDEX ix_operations_requested_at ON operations (requested_at);
CREATE INDEX ix_clock_findings_run_id ON clock_findings (run_id);
CREATE INDEX ix_attempts_run_id ON attempts (run_id);
CREATE INDEX ix_attempts_device_requirement ON attempts (device, requirement);
CREATE INDEX ix_alerts_device ON alerts (device);
CREATE INDEX ix_alerts_run_id ON alerts (run_id);
CREATE UNIQUE INDEX uq_key_changes_open ON key_changes (device, key_usage) WHERE ended IS 0;
CREATE INDEX ix_key_changes_run_id ON key_changes (run_id);
CREATE INDEX ix_key_changes_device_key_usage ON key_changes (device, key_usage);
CREATE INDEX ix_cell_snapshots_run_id ON cell_snapshots (run_id);
CREATE INDEX ix_cell_snapshots_device ON cell_snapshots (device);
CREATE INDEX ix_local_sittings_batch_id ON local_sittings (batch_id);
CREATE INDEX ix_local_commands_device_originator_counter ON local_commands (device, originator, counter);
CREATE INDEX ix_exchanges_attempt_id ON exchanges (attempt_id);
CREATE INDEX ix_exchanges_run_id ON exchanges (run_id);
CREATE INDEX ix_exchanges_device ON exchanges (device);
CREATE INDEX ix_key_change_moves_key_change_id ON key_change_moves (key_change_id);
CREATE INDEX ix_device_certificates_key_change_id ON device_certificates (key_change_id);
CREATE INDEX ix_device_certificates_device_key_usage ON device_certificates (device, key_usage);
CREATE INDEX ix_scheduled_replacements_device ON scheduled_replacements (device);
CREATE INDEX ix_service_documents_device ON service_documents (device);
CREATE INDEX ix_service_documents_exchange_id ON service_documents (exchange_id);
CREATE INDEX ix_service_documents_request_id ON service_documents (request_id);
CREATE INDEX ix_service_documents_run_id ON service_documents (run_id);
COMMIT;
