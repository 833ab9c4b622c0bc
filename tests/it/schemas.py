"""Says of each text on stdin (a JSON list of [schema's file, YAML]) what the schema finds wrong with it, or null."""

import json
import sys

import jsonschema
import yaml

found = []
for file, text in json.load(sys.stdin):
    with open(file, encoding="utf-8") as schema:
        validator = jsonschema.Draft7Validator(json.load(schema))
    validator.check_schema(validator.schema)
    error = next(validator.iter_errors(yaml.safe_load(text)), None)
    found.append(error and f"{error.json_path}: {error.message}")
json.dump(found, sys.stdout)
