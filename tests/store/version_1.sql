BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE nas_architectures (
	hash VARCHAR NOT NULL, 
	json TEXT NOT NULL, 
	PRIMARY KEY (hash)
);
INSERT INTO "nas_architectures" VALUES('d6e4c2153379fa36575df09260e1742c','{"nodes":[{"block":"conv","inputs":["input"],"name":"stem","params":{"activation":"relu","bias":"auto","channels":8,"dilation":1,"groups":1,"kernel_size":3,"norm":"batch","order":"conv_norm_act","stride":1}},{"block":"se","inputs":["stem"],"name":"attention","params":{"reduction":16}},{"block":"classifier","inputs":["attention"],"name":"head","params":{"dropout":0.0,"hidden":0,"pool":"average"}}],"output":"head"}');
INSERT INTO "nas_architectures" VALUES('b213732df3ad55302012a06d4fd21fb0','{"nodes":[{"block":"conv","inputs":["input"],"name":"stem","params":{"activation":"relu","bias":"auto","channels":8,"dilation":1,"groups":1,"kernel_size":3,"norm":"batch","order":"conv_norm_act","stride":1}},{"block":"gated_self_attention","inputs":["stem"],"name":"attention","params":{"activation":"relu","blend":true,"grid":8,"heads":4,"norm":"batch","reduction":2}},{"block":"classifier","inputs":["attention"],"name":"head","params":{"dropout":0.0,"hidden":0,"pool":"average"}}],"output":"head"}');
INSERT INTO "nas_architectures" VALUES('9152f335386bd14da333cb700db73e10','{"nodes":[{"block":"conv","inputs":["input"],"name":"stem","params":{"activation":"relu","bias":"auto","channels":16,"dilation":1,"groups":1,"kernel_size":3,"norm":"batch","order":"conv_norm_act","stride":1}},{"block":"se","inputs":["stem"],"name":"attention","params":{"reduction":16}},{"block":"classifier","inputs":["attention"],"name":"head","params":{"dropout":0.0,"hidden":0,"pool":"average"}}],"output":"head"}');
INSERT INTO "nas_architectures" VALUES('a26ceac8214c415f95bd1a9bb09573cf','{"nodes":[{"block":"conv","inputs":["input"],"name":"stem","params":{"activation":"relu","bias":"auto","channels":16,"dilation":1,"groups":1,"kernel_size":3,"norm":"batch","order":"conv_norm_act","stride":1}},{"block":"gated_self_attention","inputs":["stem"],"name":"attention","params":{"activation":"relu","blend":true,"grid":8,"heads":4,"norm":"batch","reduction":2}},{"block":"classifier","inputs":["attention"],"name":"head","params":{"dropout":0.0,"hidden":0,"pool":"average"}}],"output":"head"}');
CREATE TABLE nas_choices (
	study_id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	options TEXT NOT NULL, 
	PRIMARY KEY (study_id, name), 
	FOREIGN KEY(study_id) REFERENCES nas_studies (id)
);
INSERT INTO "nas_choices" VALUES(1,'stem.channels','[8,16]');
INSERT INTO "nas_choices" VALUES(1,'attention.block','["se","gated_self_attention"]');
CREATE TABLE nas_environments (
	hash VARCHAR NOT NULL, 
	json TEXT NOT NULL, 
	PRIMARY KEY (hash)
);
INSERT INTO "nas_environments" VALUES('848039d9817b65b61dd6cc979551560b','{"commit":null,"device":"test device","nas":"0.1.0","torch":"2.0"}');
CREATE TABLE nas_epochs (
	trial_id INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	train_loss DOUBLE, 
	loss DOUBLE, 
	accuracy DOUBLE, 
	top5 DOUBLE, 
	seconds DOUBLE, 
	images_per_second DOUBLE, 
	lr DOUBLE, 
	PRIMARY KEY (trial_id, epoch), 
	FOREIGN KEY(trial_id) REFERENCES nas_trials (id)
);
INSERT INTO "nas_epochs" VALUES(1,1,2.0,2.1,1.66666666666666657414e-01,0.99,0.5,1000.0,0.1);
INSERT INTO "nas_epochs" VALUES(1,2,1.0,1.05,3.33333333333333314829e-01,0.99,0.5,1000.0,0.1);
INSERT INTO "nas_epochs" VALUES(1,3,6.66666666666666629659e-01,7.00000000000000066613e-01,0.5,0.99,0.5,1000.0,0.1);
INSERT INTO "nas_epochs" VALUES(2,1,2.0,2.1,1.99999999999999983346e-01,0.99,0.5,1000.0,0.1);
INSERT INTO "nas_epochs" VALUES(2,2,1.0,1.05,3.99999999999999966693e-01,0.99,0.5,1000.0,0.1);
INSERT INTO "nas_epochs" VALUES(2,3,6.66666666666666629659e-01,7.00000000000000066613e-01,0.6,0.99,0.5,1000.0,0.1);
INSERT INTO "nas_epochs" VALUES(3,1,2.0,2.1,2.33333333333333309278e-01,0.99,0.5,1000.0,0.1);
INSERT INTO "nas_epochs" VALUES(3,2,1.0,1.05,4.66666666666666618557e-01,0.99,0.5,1000.0,0.1);
INSERT INTO "nas_epochs" VALUES(3,3,6.66666666666666629659e-01,7.00000000000000066613e-01,6.99999999999999844568e-01,0.99,0.5,1000.0,0.1);
INSERT INTO "nas_epochs" VALUES(4,1,2.0,2.1,2.66666666666666662965e-01,0.99,0.5,1000.0,0.1);
INSERT INTO "nas_epochs" VALUES(4,2,1.0,1.05,5.33333333333333325931e-01,0.99,0.5,1000.0,0.1);
INSERT INTO "nas_epochs" VALUES(4,3,6.66666666666666629659e-01,7.00000000000000066613e-01,8.00000000000000155431e-01,0.99,0.5,1000.0,0.1);
CREATE TABLE nas_latencies (
	id INTEGER NOT NULL, 
	trial_id INTEGER, 
	hash VARCHAR NOT NULL, 
	input VARCHAR NOT NULL, 
	classes INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	threads INTEGER NOT NULL, 
	batch INTEGER NOT NULL, 
	milliseconds DOUBLE NOT NULL, 
	low DOUBLE NOT NULL, 
	high DOUBLE NOT NULL, 
	runs INTEGER NOT NULL, 
	torch VARCHAR NOT NULL, 
	measured_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(trial_id) REFERENCES nas_trials (id)
);
CREATE TABLE nas_measurements (
	id INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	published VARCHAR, 
	study_id INTEGER, 
	trial INTEGER, 
	hash VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	seed BIGINT NOT NULL, 
	state VARCHAR NOT NULL, 
	reason TEXT, 
	accuracy DOUBLE, 
	top5 DOUBLE, 
	loss DOUBLE, 
	parameters BIGINT NOT NULL, 
	macs BIGINT NOT NULL, 
	task TEXT NOT NULL, 
	recipe TEXT NOT NULL, 
	fraction DOUBLE NOT NULL, 
	epochs INTEGER NOT NULL, 
	curve TEXT NOT NULL, 
	deviations TEXT NOT NULL, 
	weights VARCHAR, 
	seconds DOUBLE, 
	device VARCHAR NOT NULL, 
	environment VARCHAR NOT NULL, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(study_id) REFERENCES nas_studies (id), 
	FOREIGN KEY(hash) REFERENCES nas_architectures (hash), 
	FOREIGN KEY(environment) REFERENCES nas_environments (hash)
);
INSERT INTO "nas_measurements" VALUES(1,'retrain',NULL,1,3,'a26ceac8214c415f95bd1a9bb09573cf','k',0,'complete',NULL,0.8,0.9,0.5,1386,266400,'{"dataset":"digits"}','{"epochs":3}',1.0,0,'[]','[]',NULL,1.0,'cpu','848039d9817b65b61dd6cc979551560b','2026-11-25 01:32:42.239306','2026-11-25 01:32:42.239324');
CREATE TABLE nas_memories (
	trial_id INTEGER NOT NULL, 
	predicted_bytes BIGINT NOT NULL, 
	peak_bytes BIGINT NOT NULL, 
	gpus DOUBLE NOT NULL, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES nas_trials (id)
);
CREATE TABLE nas_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "nas_schema" VALUES(1);
CREATE TABLE nas_studies (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	space_name VARCHAR NOT NULL, 
	space_text TEXT NOT NULL, 
	space_fingerprint VARCHAR NOT NULL, 
	task TEXT NOT NULL, 
	recipe TEXT NOT NULL, 
	objectives VARCHAR NOT NULL, 
	constraints TEXT NOT NULL, 
	seed BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	owner_token VARCHAR, 
	owner_host VARCHAR, 
	owner_pid INTEGER, 
	owner_beat DOUBLE, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "nas_studies" VALUES(1,'old','small','name: small
input: [3, 16, 16]
graph:
  stem:      {block: conv, channels: {choose: [8, 16]}}
  attention: {block: {choose: [se, gated_self_attention]}}
  head:      {block: classifier, pool: average}
constraints: {macs: {max: 250000}}
','a383d402dfc406e4','{"classes":10,"dataset":"digits","image_size":16,"input":[3,16,16],"root":null,"seed":0,"validation":0.2}','{"epochs":3,"lr":0.1,"seed":0}','["accuracy","macs"]','{"macs":{"max":300000.0,"min":null}}',0,'2026-11-25 01:32:42.109164',NULL,NULL,NULL,NULL);
CREATE TABLE nas_trials (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	number INTEGER, 
	hash VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	assignment TEXT NOT NULL, 
	published VARCHAR, 
	parameters BIGINT NOT NULL, 
	macs BIGINT NOT NULL, 
	activation_bytes BIGINT NOT NULL, 
	state VARCHAR NOT NULL, 
	reason TEXT, 
	accuracy DOUBLE, 
	top5 DOUBLE, 
	loss DOUBLE, 
	epochs INTEGER NOT NULL, 
	seconds DOUBLE, 
	device VARCHAR, 
	environment VARCHAR, 
	source INTEGER, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	PRIMARY KEY (id), 
	UNIQUE (study_id, number), 
	FOREIGN KEY(study_id) REFERENCES nas_studies (id), 
	FOREIGN KEY(hash) REFERENCES nas_architectures (hash), 
	FOREIGN KEY(environment) REFERENCES nas_environments (hash), 
	FOREIGN KEY(source) REFERENCES nas_trials (id)
);
INSERT INTO "nas_trials" VALUES(1,1,0,'d6e4c2153379fa36575df09260e1742c','9356274a259946f1e1670eb466881f68','{"stem.channels":8,"attention.block":"se"}',NULL,347,55392,19520,'complete',NULL,0.5,0.99,1.0,3,1.5,'cpu','848039d9817b65b61dd6cc979551560b',NULL,'2026-11-25 01:32:42.180460','2026-11-25 01:32:42.188265');
INSERT INTO "nas_trials" VALUES(2,1,1,'b213732df3ad55302012a06d4fd21fb0','7e35f5a50747a6564380e261e66a9042','{"stem.channels":8,"attention.block":"gated_self_attention"}',NULL,522,94288,59392,'complete',NULL,0.6,0.99,1.0,3,1.5,'cpu','848039d9817b65b61dd6cc979551560b',NULL,'2026-11-25 01:32:42.203045','2026-11-25 01:32:42.206339');
INSERT INTO "nas_trials" VALUES(3,1,2,'9152f335386bd14da333cb700db73e10','e37e0a3dd9f280d10ebc2e239b2c4cb8','{"stem.channels":16,"attention.block":"se"}',NULL,683,110784,35968,'complete',NULL,0.7,0.99,1.0,3,1.5,'cpu','848039d9817b65b61dd6cc979551560b',NULL,'2026-11-25 01:32:42.208749','2026-11-25 01:32:42.214369');
INSERT INTO "nas_trials" VALUES(4,1,3,'a26ceac8214c415f95bd1a9bb09573cf','dc4a907eab203ebf4051a2bb6b51189e','{"stem.channels":16,"attention.block":"gated_self_attention"}',NULL,1386,266400,123904,'complete',NULL,0.8,0.99,1.0,3,1.5,'cpu','848039d9817b65b61dd6cc979551560b',NULL,'2026-11-25 01:32:42.215969','2026-11-25 01:32:42.222215');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'old');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',1,1);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["accuracy", "macs"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'stem.channels',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 16]}}');
INSERT INTO "trial_params" VALUES(2,1,'attention.block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["se", "gated_self_attention"]}}');
INSERT INTO "trial_params" VALUES(3,2,'stem.channels',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 16]}}');
INSERT INTO "trial_params" VALUES(4,2,'attention.block',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["se", "gated_self_attention"]}}');
INSERT INTO "trial_params" VALUES(5,3,'stem.channels',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 16]}}');
INSERT INTO "trial_params" VALUES(6,3,'attention.block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["se", "gated_self_attention"]}}');
INSERT INTO "trial_params" VALUES(7,4,'stem.channels',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 16]}}');
INSERT INTO "trial_params" VALUES(8,4,'attention.block',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["se", "gated_self_attention"]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'hash','"d6e4c2153379fa36575df09260e1742c"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'parameters','347');
INSERT INTO "trial_user_attributes" VALUES(3,1,'macs','55392');
INSERT INTO "trial_user_attributes" VALUES(4,1,'activation_bytes','19520');
INSERT INTO "trial_user_attributes" VALUES(5,1,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(6,1,'seconds','1.5');
INSERT INTO "trial_user_attributes" VALUES(7,1,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(8,1,'key','"9356274a259946f1e1670eb466881f68"');
INSERT INTO "trial_user_attributes" VALUES(9,2,'hash','"b213732df3ad55302012a06d4fd21fb0"');
INSERT INTO "trial_user_attributes" VALUES(10,2,'parameters','522');
INSERT INTO "trial_user_attributes" VALUES(11,2,'macs','94288');
INSERT INTO "trial_user_attributes" VALUES(12,2,'activation_bytes','59392');
INSERT INTO "trial_user_attributes" VALUES(13,2,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(14,2,'seconds','1.5');
INSERT INTO "trial_user_attributes" VALUES(15,2,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(16,2,'key','"7e35f5a50747a6564380e261e66a9042"');
INSERT INTO "trial_user_attributes" VALUES(17,3,'hash','"9152f335386bd14da333cb700db73e10"');
INSERT INTO "trial_user_attributes" VALUES(18,3,'parameters','683');
INSERT INTO "trial_user_attributes" VALUES(19,3,'macs','110784');
INSERT INTO "trial_user_attributes" VALUES(20,3,'activation_bytes','35968');
INSERT INTO "trial_user_attributes" VALUES(21,3,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(22,3,'seconds','1.5');
INSERT INTO "trial_user_attributes" VALUES(23,3,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(24,3,'key','"e37e0a3dd9f280d10ebc2e239b2c4cb8"');
INSERT INTO "trial_user_attributes" VALUES(25,4,'hash','"a26ceac8214c415f95bd1a9bb09573cf"');
INSERT INTO "trial_user_attributes" VALUES(26,4,'parameters','1386');
INSERT INTO "trial_user_attributes" VALUES(27,4,'macs','266400');
INSERT INTO "trial_user_attributes" VALUES(28,4,'activation_bytes','123904');
INSERT INTO "trial_user_attributes" VALUES(29,4,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(30,4,'seconds','1.5');
INSERT INTO "trial_user_attributes" VALUES(31,4,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(32,4,'key','"dc4a907eab203ebf4051a2bb6b51189e"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.5,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,1,55392.0,'FINITE');
INSERT INTO "trial_values" VALUES(3,2,0,0.6,'FINITE');
INSERT INTO "trial_values" VALUES(4,2,1,94288.0,'FINITE');
INSERT INTO "trial_values" VALUES(5,3,0,0.7,'FINITE');
INSERT INTO "trial_values" VALUES(6,3,1,110784.0,'FINITE');
INSERT INTO "trial_values" VALUES(7,4,0,0.8,'FINITE');
INSERT INTO "trial_values" VALUES(8,4,1,266400.0,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-25 01:32:42.180460','2026-11-25 01:32:42.188265');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-25 01:32:42.203045','2026-11-25 01:32:42.206339');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-25 01:32:42.208749','2026-11-25 01:32:42.214369');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-25 01:32:42.215969','2026-11-25 01:32:42.222215');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE INDEX nas_trials_key ON nas_trials ("key");
CREATE INDEX nas_measurements_key ON nas_measurements ("key", seed);
CREATE INDEX nas_latencies_trial ON nas_latencies (trial_id);
CREATE INDEX nas_latencies_hash ON nas_latencies (hash, device);
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
