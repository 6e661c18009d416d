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
INSERT INTO "nas_architectures" VALUES('b272c36beb3fc1bf7178c2ef1bbe25ee','{"nodes":[{"block":"conv","inputs":["input"],"name":"stem","params":{"activation":"relu","bias":"auto","channels":4,"dilation":1,"groups":1,"kernel_size":3,"norm":"batch","order":"conv_norm_act","stride":2}},{"block":"classifier","inputs":["stem"],"name":"head","params":{"dropout":0.0,"hidden":0,"pool":"flatten"}}],"output":"head"}');
INSERT INTO "nas_architectures" VALUES('c0e4fddb815625b45fec620afd2136c1','{"nodes":[{"block":"conv","inputs":["input"],"name":"stem","params":{"activation":"relu","bias":"auto","channels":4,"dilation":1,"groups":1,"kernel_size":3,"norm":"batch","order":"conv_norm_act","stride":2}},{"block":"conv","inputs":["stem"],"name":"body","params":{"activation":"relu","bias":"auto","channels":4,"dilation":1,"groups":1,"kernel_size":3,"norm":"batch","order":"conv_norm_act","stride":1}},{"block":"classifier","inputs":["body"],"name":"head","params":{"dropout":0.0,"hidden":0,"pool":"flatten"}}],"output":"head"}');
INSERT INTO "nas_architectures" VALUES('3ef1474dab1c04390f026dc4acfe4b9a','{"nodes":[{"block":"conv","inputs":["input"],"name":"stem","params":{"activation":"relu","bias":"auto","channels":8,"dilation":1,"groups":1,"kernel_size":3,"norm":"batch","order":"conv_norm_act","stride":2}},{"block":"conv","inputs":["stem"],"name":"body","params":{"activation":"relu","bias":"auto","channels":8,"dilation":1,"groups":1,"kernel_size":3,"norm":"batch","order":"conv_norm_act","stride":1}},{"block":"classifier","inputs":["body"],"name":"head","params":{"dropout":0.0,"hidden":0,"pool":"flatten"}}],"output":"head"}');
CREATE TABLE nas_choices (
	study_id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	options TEXT NOT NULL, 
	PRIMARY KEY (study_id, name), 
	FOREIGN KEY(study_id) REFERENCES nas_studies (id)
);
INSERT INTO "nas_choices" VALUES(1,'stem.channels','[4,8]');
INSERT INTO "nas_choices" VALUES(1,'body.block','["conv","identity"]');
CREATE TABLE nas_environments (
	hash VARCHAR NOT NULL, 
	json TEXT NOT NULL, 
	PRIMARY KEY (hash)
);
INSERT INTO "nas_environments" VALUES('c16d6a9949334b991dccf9b27c70b06e','{"commit":null,"cores":2,"cuda":null,"nas":"0.1.0","platform":"Linux","python":"3.11.7","threads":1,"torch":"2.14.1+cu130"}');
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
	train_accuracy DOUBLE, 
	PRIMARY KEY (trial_id, epoch), 
	FOREIGN KEY(trial_id) REFERENCES nas_trials (id)
);
INSERT INTO "nas_epochs" VALUES(1,1,1.81612599927325590876e+00,1.01257658004760742187e+00,8.04469287395477294921e-01,9.9162012338638305664e-01,9.58011675000307150185e-01,1.1869076048914525927e+03,0.003,4.94883720930232584578e-01);
INSERT INTO "nas_epochs" VALUES(1,2,1.0791041742369185119e+00,5.41695892810821533203e-01,8.91061425209045410156e-01,9.9720668792724609375e-01,9.42808766998496139422e-01,1.20393013237366949396e+03,1.32352941176470115854e-04,8.09302325581395365361e-01);
INSERT INTO "nas_epochs" VALUES(2,1,1.74863156340843017844e+00,8.48877549171447753906e-01,0.832402229309082,9.8603349924087524414e-01,1.88708927699917694553e+00,574.111781143074,0.003,5.19069767441860507872e-01);
INSERT INTO "nas_epochs" VALUES(2,2,1.00604049327761635446e+00,4.72512364387512207031e-01,8.82681548595428466796e-01,0.994413435459137,1.80375559000094654038e+00,6.51518276038460726357e+02,1.32352941176470115854e-04,8.41860465116279099717e-01);
INSERT INTO "nas_epochs" VALUES(3,1,1.51429653433866273637e+00,4.49545502662658691406e-01,8.99441361427307128906e-01,9.9720668792724609375e-01,1.78050236800118,6.17604260082056839582e+02,0.003,5.9627906976744182721e-01);
INSERT INTO "nas_epochs" VALUES(3,2,8.68175133993459247072e-01,2.45593264698982238769e-01,9.66480433940887451171e-01,9.9720668792724609375e-01,1.17460352699708892032e+00,1.05016710078280630117e+03,1.32352941176470115854e-04,8.88372093023255815502e-01);
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
INSERT INTO "nas_latencies" VALUES(1,1,'b272c36beb3fc1bf7178c2ef1bbe25ee','[1, 16, 16]',10,'cpu: test CPU',1,1,4.47159982286393642425e-02,4.42227492385427467525e-02,4.59504999525961466133e-02,1000,'2.14.1+cu130','2026-11-28 22:11:40.435608');
INSERT INTO "nas_latencies" VALUES(2,2,'c0e4fddb815625b45fec620afd2136c1','[1, 16, 16]',10,'cpu: test CPU',1,1,7.18670016794931143522e-02,7.09435007593128830194e-02,7.50809995224699378013e-02,828,'2.14.1+cu130','2026-11-28 22:11:41.364867');
INSERT INTO "nas_latencies" VALUES(3,3,'3ef1474dab1c04390f026dc4acfe4b9a','[1, 16, 16]',10,'cpu: test CPU',1,1,7.73999981902306899428e-02,7.5319498137105256319e-02,1.40583249049086589366e-01,604,'2.14.1+cu130','2026-11-28 22:12:52.460311');
INSERT INTO "nas_latencies" VALUES(4,NULL,'b272c36beb3fc1bf7178c2ef1bbe25ee','[1, 16, 16]',10,'cpu: test CPU',1,4,1.07685000330093316733e-01,1.05523749880376271903e-01,1.18903752991172950714e-01,1000,'2.14.1+cu130','2026-11-28 22:13:39.813827');
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
INSERT INTO "nas_schema" VALUES(3);
CREATE TABLE nas_scores (
	measurement_id INTEGER NOT NULL, 
	part VARCHAR NOT NULL, 
	"right" TEXT NOT NULL, 
	images TEXT NOT NULL, 
	PRIMARY KEY (measurement_id, part), 
	FOREIGN KEY(measurement_id) REFERENCES nas_measurements (id)
);
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
	counting_rules INTEGER, 
	owner_token VARCHAR, 
	owner_host VARCHAR, 
	owner_pid INTEGER, 
	owner_beat DOUBLE, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "nas_studies" VALUES(1,'small-digits','small','name: small
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: [4, 8]}, stride: 2}
  body: {block: {choose: [conv, identity]}}
  head: {block: classifier, pool: flatten}
','dcf92120e7daddf4','{"classes":10,"dataset":"digits","fingerprint":"6d554279a3016d4d","folds":1,"image_size":null,"input":[1,16,16],"seed":0,"validation":0.25,"validation_images":358}','{"augment":{"color_jitter":0.0,"crop_padding":1,"cutout":0,"flip":false,"padding_mode":"zero"},"batch_size":32,"channels_last":"auto","class_weights":"none","clip_norm":1.0,"decay":0.3333333333333333,"decay_norm_bias":false,"ema":0.99,"epochs":2,"gamma":0.1,"label_smoothing":0.1,"lr":0.003,"milestones":[0.5,0.75],"mixup":0.2,"mixup_epochs":60,"momentum":0.9,"nesterov":false,"norm_images":2048,"optimizer":"adamw","precision":"auto","sampling":"shuffle","schedule":"wsd","seed":0,"steps":0,"warmup":0.1,"warmup_epochs":0.0,"weight_decay":0.2}','["accuracy","latency"]','{}',0,'2026-11-28 22:10:34.270098',1,NULL,NULL,NULL,NULL);
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
INSERT INTO "nas_trials" VALUES(1,1,0,'b272c36beb3fc1bf7178c2ef1bbe25ee','7ed8249abd2d91ad6f63634a5a51a765','{"stem.channels":4,"body.block":"identity"}',NULL,2614,4864,3072,'complete',NULL,8.91061425209045410156e-01,9.9720668792724609375e-01,5.41695892810821533203e-01,2,2.18604458610025176312e+01,'cpu: test CPU','c16d6a9949334b991dccf9b27c70b06e',NULL,'2026-11-28 22:11:40.508714','2026-11-28 22:12:51.346749');
INSERT INTO "nas_trials" VALUES(2,1,1,'c0e4fddb815625b45fec620afd2136c1','9f3afd041006ac9a270f13d8f3b1d270','{"stem.channels":4,"body.block":"conv"}',NULL,2766,14080,4096,'complete',NULL,8.82681548595428466796e-01,0.994413435459137,4.72512364387512207031e-01,2,2.31427760170008696145e+01,'cpu: test CPU','c16d6a9949334b991dccf9b27c70b06e',NULL,'2026-11-28 22:11:41.368671','2026-11-28 22:12:54.482082');
INSERT INTO "nas_trials" VALUES(3,1,2,'3ef1474dab1c04390f026dc4acfe4b9a','22dfea513895d757a300249a402c7836','{"stem.channels":8,"body.block":"conv"}',NULL,5810,46592,7168,'complete',NULL,9.66480433940887451171e-01,9.9720668792724609375e-01,2.45593264698982238769e-01,2,3.26354415300011169165e+00,'cpu: test CPU','c16d6a9949334b991dccf9b27c70b06e',NULL,'2026-11-28 22:12:52.465584','2026-11-28 22:12:55.841358');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'small-digits');
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
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["accuracy", "latency"]');
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
INSERT INTO "trial_params" VALUES(1,1,'stem.channels',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8]}}');
INSERT INTO "trial_params" VALUES(2,1,'body.block',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "identity"]}}');
INSERT INTO "trial_params" VALUES(3,2,'stem.channels',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8]}}');
INSERT INTO "trial_params" VALUES(4,2,'body.block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "identity"]}}');
INSERT INTO "trial_params" VALUES(5,3,'stem.channels',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8]}}');
INSERT INTO "trial_params" VALUES(6,3,'body.block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "identity"]}}');
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
INSERT INTO "trial_user_attributes" VALUES(1,1,'hash','"b272c36beb3fc1bf7178c2ef1bbe25ee"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'parameters','2614');
INSERT INTO "trial_user_attributes" VALUES(3,1,'macs','4864');
INSERT INTO "trial_user_attributes" VALUES(4,1,'activation_bytes','3072');
INSERT INTO "trial_user_attributes" VALUES(5,1,'latency','0.044715998228639364');
INSERT INTO "trial_user_attributes" VALUES(6,1,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(7,1,'seconds','21.860445861002518');
INSERT INTO "trial_user_attributes" VALUES(8,1,'device','"cpu: test CPU"');
INSERT INTO "trial_user_attributes" VALUES(9,1,'key','"7ed8249abd2d91ad6f63634a5a51a765"');
INSERT INTO "trial_user_attributes" VALUES(10,2,'hash','"c0e4fddb815625b45fec620afd2136c1"');
INSERT INTO "trial_user_attributes" VALUES(11,2,'parameters','2766');
INSERT INTO "trial_user_attributes" VALUES(12,2,'macs','14080');
INSERT INTO "trial_user_attributes" VALUES(13,2,'activation_bytes','4096');
INSERT INTO "trial_user_attributes" VALUES(14,2,'latency','0.07186700167949311');
INSERT INTO "trial_user_attributes" VALUES(15,2,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(16,2,'seconds','23.14277601700087');
INSERT INTO "trial_user_attributes" VALUES(17,2,'device','"cpu: test CPU"');
INSERT INTO "trial_user_attributes" VALUES(18,2,'key','"9f3afd041006ac9a270f13d8f3b1d270"');
INSERT INTO "trial_user_attributes" VALUES(19,3,'hash','"3ef1474dab1c04390f026dc4acfe4b9a"');
INSERT INTO "trial_user_attributes" VALUES(20,3,'parameters','5810');
INSERT INTO "trial_user_attributes" VALUES(21,3,'macs','46592');
INSERT INTO "trial_user_attributes" VALUES(22,3,'activation_bytes','7168');
INSERT INTO "trial_user_attributes" VALUES(23,3,'latency','0.07739999819023069');
INSERT INTO "trial_user_attributes" VALUES(24,3,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(25,3,'seconds','3.2635441530001117');
INSERT INTO "trial_user_attributes" VALUES(26,3,'device','"cpu: test CPU"');
INSERT INTO "trial_user_attributes" VALUES(27,3,'key','"22dfea513895d757a300249a402c7836"');
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
INSERT INTO "trial_values" VALUES(1,1,0,8.91061425209045410156e-01,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,1,4.47159982286393642425e-02,'FINITE');
INSERT INTO "trial_values" VALUES(3,2,0,8.82681548595428466796e-01,'FINITE');
INSERT INTO "trial_values" VALUES(4,2,1,7.18670016794931143522e-02,'FINITE');
INSERT INTO "trial_values" VALUES(5,3,0,9.66480433940887451171e-01,'FINITE');
INSERT INTO "trial_values" VALUES(6,3,1,7.73999981902306899428e-02,'FINITE');
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
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-28 22:11:40.508714','2026-11-28 22:12:51.346749');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-28 22:11:41.368671','2026-11-28 22:12:54.482082');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-28 22:12:52.465584','2026-11-28 22:12:55.841358');
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
