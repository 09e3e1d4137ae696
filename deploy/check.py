"""Holds the CloudFormation template, the Terraform module and the policies to each other and to the runbook.

    python -m pip install cfn-lint python-hcl2
    python deploy/check.py                    # says what is wrong, and ends with 1 if anything is
    python deploy/check.py --environments     # the environments that the task can have, one JSON object a line

It needs no account and no network. `cfn-lint` knows what AWS takes; what is checked here is what it cannot know: that both
ways deploy the same, with the rights that the program's table of actions gives and no other.
"""

import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import hcl2
import yaml

DEPLOY = Path(__file__).parent
TEMPLATE = DEPLOY / "cloudformation" / "bedrock-tap.yaml"
MODULE = DEPLOY / "terraform"

faults = []


def fault(text):
    faults.append(text)


def same(what, left, right):
    if left != right:
        fault(f"{what}: {json.dumps(left, sort_keys=True, default=str)} is not {json.dumps(right, sort_keys=True, default=str)}")


# --- CloudFormation: read, and evaluated as far as it is without AWS ---


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions, as their long forms."""


def function(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", function)
NOTHING = object()


class Stack:
    """The template with values for its parameters. What AWS would give stands there by name: `<Stream.Arn>`."""

    def __init__(self, template, given):
        self.template = template
        self.parameters = {name: given.get(name, shape.get("Default", f"<{name}>")) for name, shape in template["Parameters"].items()}
        unknown = set(given) - set(self.parameters)
        assert not unknown, unknown
        self.resources = {
            name: self.value(resource)
            for name, resource in template["Resources"].items()
            if "Condition" not in resource or self.condition(template["Conditions"][resource["Condition"]])
        }

    def condition(self, node):
        (name, value), = node.items()
        if name == "Condition":
            return self.condition(self.template["Conditions"][value])
        if name == "Fn::Equals":
            return str(self.value(value[0])) == str(self.value(value[1]))
        if name == "Fn::Not":
            return not self.condition(value[0])
        assert name == "Fn::And", name
        return all(self.condition(one) for one in value)

    def ref(self, name):
        if name == "AWS::NoValue":
            return NOTHING
        value = self.parameters.get(name, f"<{name}>")
        return str(value) if name in self.parameters else value

    def value(self, node):
        if isinstance(node, list):
            return [one for one in map(self.value, node) if one is not NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, value), = node.items()
            if name == "Ref":
                return self.ref(value)
            if name == "Fn::GetAtt":
                return f"<{'.'.join(value)}>"
            if name == "Fn::If":
                return self.value(value[1] if self.condition({"Condition": value[0]}) else value[2])
            if name == "Fn::Sub":
                text, names = value if isinstance(value, list) else (value, {})
                names = {key: self.value(one) for key, one in names.items()}
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(names.get(found[1]) or self.ref(found[1])), text)
            if name == "Fn::Join":
                return value[0].join(self.value(value[1]))
            if name == "Fn::Split":
                return self.value(value[1]).split(value[0])
        found = {key: self.value(one) for key, one in node.items() if key != "Condition" or isinstance(one, dict)}
        return {key: one for key, one in found.items() if one is not NOTHING}


def stacks(template):
    """The template with each combination of what changes more than a name."""
    choices = {
        "Source": ["kinesis", "s3"],
        "Mode": ["polling", "fan-out"],
        "KeyArn": ["", "arn:aws:kms:eu-central-1:111111111111:key/k"],
        "BodiesBucketName": ["", "large-bodies"],
        "BodiesKeyArn": ["", "arn:aws:kms:eu-central-1:111111111111:key/b"],
        "EventsBucketName": ["", "bedrock-events"],
        "EventsKeyArn": ["", "arn:aws:kms:eu-central-1:111111111111:key/e"],
        "Rules": ["", "tap.*,panther.*"],
        "CreateLogGroup": ["yes", "no"],
    }
    for values in itertools.product(*choices.values()):
        yield Stack(template, dict(zip(choices, values)))


def lint():
    """cfn-lint, and that it would find something."""
    program = Path(sys.executable).with_name("cfn-lint")
    run = lambda path: subprocess.run([program, "--", str(path)], capture_output=True, text=True)
    found = run(TEMPLATE)
    # Source: the CloudFormation User Guide, "Understand CloudFormation quotas": a larger one needs a bucket.
    if len(TEMPLATE.read_bytes()) > 51_200:
        fault("the template is too large to be given with the call")
    if found.returncode != 0:
        fault(f"cfn-lint: {found.stdout}{found.stderr}")
    with tempfile.TemporaryDirectory() as folder:
        wrong = Path(folder) / "wrong.yaml"
        wrong.write_text(TEMPLATE.read_text().replace("Distribution: Random", "Distribution: ByChance"))
        if run(wrong).returncode == 0:
            fault("cfn-lint takes a distribution that does not exist")


# --- Policies ---


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(name):
    return json.loads((DEPLOY / "iam" / f"{name}.json").read_text())["Statement"]


def shape(statement):
    """What a statement allows and to whom, without whose resources."""
    return {
        "Action": sorted(listed(statement["Action"])),
        "Principal": statement.get("Principal"),
        "Condition": {kind: sorted(keys) for kind, keys in statement.get("Condition", {}).items()},
        "via": re.findall(r'"kms:ViaService": "(\w+)\.', json.dumps(statement.get("Condition", {}))),
    }


OWN = ["task-policy", "leases-policy", "fan-out-policy", "s3-source-policy", "keys-policy", "bodies-policy", "sinks-policy", "sink-keys-policy"]


def check_policies(stack):
    known = {one["Sid"]: one for name in OWN for one in statements(name)}
    at = {key: stack.parameters[key] for key in ("Source", "Mode", "BodiesBucketName", "BodiesKeyArn", "EventsBucketName", "EventsKeyArn", "Rules")}
    allowed = []
    for policy in stack.resources["TaskRole"]["Properties"]["Policies"]:
        for one in policy["PolicyDocument"]["Statement"]:
            allowed.append(one["Sid"])
            same(f"TaskRole {one['Sid']} {at}", shape(one), shape(known[one["Sid"]]))
    same(f"what the task may do {at}", sorted(allowed), sorted(sids(stack.parameters)))
    for role, trust, policy in [
        ("TaskRole", "tasks-trust", None),
        ("ExecutionRole", "tasks-trust", "execution-policy"),
        ("LogsRole", "logs-trust", "logs-policy"),
        ("BedrockRole", "bedrock-trust", "bedrock-policy"),
    ]:
        if role not in stack.resources:
            continue
        found = stack.resources[role]["Properties"]
        same(f"trust of {role}", list(map(shape, found["AssumeRolePolicyDocument"]["Statement"])), list(map(shape, statements(trust))))
        if policy:
            (document,) = found["Policies"]
            same(role, list(map(shape, document["PolicyDocument"]["Statement"])), list(map(shape, statements(policy))))
    for resource, policy in [("LogQueuePolicy", "s3-queue-policy"), ("LogBucketPolicy", "bedrock-bucket-policy")]:
        if resource in stack.resources:
            found = stack.resources[resource]["Properties"]["PolicyDocument"]["Statement"]
            same(resource, shape(found[0]), shape(statements(policy)[0]))


def sids(given):
    """The statements that the program needs for what is chosen."""
    stream, detects = given["Source"] == "kinesis", given["Rules"] != ""
    needed = ["ReadTheStream", "DecryptTheStream", "ShareTheShards"] if stream else ["ReceiveNotifications", "ReadLogs", "ListLogs", "DecryptObjects", "DecryptNotifications"]
    if stream and given["Mode"] == "fan-out":
        needed.append("ReadAsTheConsumer")
    if stream and detects:
        needed.append("KeepWhatDetectionRemembers")
    if given["BodiesBucketName"]:
        needed += ["ReadLargeBodies"] + ["DecryptObjects"] * (given["BodiesKeyArn"] != "")
    if given["EventsBucketName"]:
        needed += ["WriteObjects"] + ["EncryptObjects"] * (given["EventsKeyArn"] != "")
    return needed


# --- The task ---


def container(stack):
    (found,) = stack.resources["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    return found


def environment(stack):
    return environment_of(container(stack))


def environment_of(task):
    pairs = [(one["Name"], one["Value"]) for one in task["Environment"]]
    same("variables that stand there once", len(pairs), len(dict(pairs)))
    return dict(pairs)


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def check_task(stack):
    task = container(stack)
    if task["StopTimeout"] <= seconds(environment(stack)["BEDROCK_TAP__DRAIN_TIMEOUT"]) + 5:
        fault("ECS kills the task before it has drained")
    same("health check", task["HealthCheck"]["Command"], ["CMD", "/usr/local/bin/bedrock-tap", "health"])
    same("root file system", task["ReadonlyRootFilesystem"], True)
    same("capabilities", task["LinuxParameters"], {"Capabilities": {"Drop": ["ALL"]}})
    same("user", task["User"], "65532:65532")
    if "SecurityGroupIngress" in stack.resources["SecurityGroup"]["Properties"]:
        fault("the security group lets somebody in")
    if stack.parameters["Source"] == "kinesis":
        subscription = stack.resources["SubscriptionFilter"]["Properties"]
        same("distribution", subscription["Distribution"], "Random")
        same("pattern", subscription["FilterPattern"], '{ $.schemaType = "ModelInvocationLog" }')
        same("class", stack.template["Resources"]["LogGroup"]["Properties"]["LogGroupClass"], "STANDARD")
        same("encryption", stack.resources["Stream"]["Properties"]["StreamEncryption"]["EncryptionType"], "KMS")


# --- Terraform: parsed, and every name looked up ---


def module():
    """All files as one, by kind: resource, data, variable, local, output."""
    found = {"resource": {}, "data": {}, "variable": {}, "local": {}, "output": {}}
    plain = lambda name: name.strip('"')
    for path in sorted(MODULE.glob("*.tf")):
        with path.open() as file:
            parsed = hcl2.load(file)
        for kind, blocks in parsed.items():
            for block in blocks if isinstance(blocks, list) else []:
                if kind == "locals":
                    entries = {name: value for name, value in block.items() if not name.startswith("__")}
                    found["local"].update(entries)
                elif kind in ("resource", "data"):
                    for type_, named in block.items():
                        for name, body in named.items():
                            found[kind][f"{plain(type_)}.{plain(name)}"] = body
                elif kind in ("variable", "output"):
                    for name, body in block.items():
                        found[kind][plain(name)] = body
    return found


def text_of(value):
    if isinstance(value, dict):
        return " ".join(f"{key} {text_of(one)}" for key, one in value.items())
    if isinstance(value, list):
        return " ".join(map(text_of, value))
    return str(value)


def uses(value):
    """What an expression names."""
    text = text_of(value)
    found = {f"var.{name}" for name in re.findall(r"\bvar\.(\w+)", text)}
    found |= {f"local.{name}" for name in re.findall(r"\blocal\.(\w+)", text)}
    found |= {f"data.{name}" for name in re.findall(r"\bdata\.(\w+\.\w+)", text)}
    return found | set(re.findall(r"(?<![\w.-])(aws_\w+\.\w+)", text.replace("data.aws_", "data-aws_")))


def check_module(parts):
    nodes = {f"var.{name}": {} for name in parts["variable"]}
    nodes |= {f"local.{name}": value for name, value in parts["local"].items()}
    nodes |= {f"data.{name}": value for name, value in parts["data"].items()}
    nodes |= parts["resource"]
    edges = {name: uses(value) for name, value in nodes.items()}
    edges |= {f"output.{name}": uses(value) for name, value in parts["output"].items()}
    for name, used in edges.items():
        for other in sorted(used - set(nodes)):
            fault(f"terraform: {name} names {other}, which there is not")
        if name in used:
            fault(f"terraform: {name} names itself")
    named = set().union(*edges.values())
    for name in sorted(node for node in nodes if node.startswith(("var.", "local.", "data.")) and node not in named):
        fault(f"terraform: nothing names {name}")
    for kind in ("variable", "output"):
        for name, body in parts[kind].items():
            if len(str(body.get("description", "")).strip('"')) < 10:
                fault(f"terraform: the {kind} {name} has no description")
    done, path = set(), []

    def visit(name):
        if name in path:
            fault(f"terraform: a cycle: {' -> '.join(path[path.index(name):] + [name])}")
        elif name not in done:
            path.append(name)
            for other in edges.get(name, ()):
                visit(other)
            path.pop()
            done.add(name)

    for name in nodes:
        visit(name)


def snake(name):
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def check_alike(template, parts):
    """That the module makes what the template makes, as far as one can see without Terraform."""
    kinds = {
        "AWS::CloudWatch::Alarm": "aws_cloudwatch_metric_alarm",
        "AWS::Logs::MetricFilter": "aws_cloudwatch_log_metric_filter",
        "AWS::DynamoDB::Table": "aws_dynamodb_table",
        "AWS::SQS::Queue": "aws_sqs_queue",
        "AWS::IAM::Role": "aws_iam_role",
        "AWS::Kinesis::Stream": "aws_kinesis_stream",
        "AWS::Logs::LogGroup": "aws_cloudwatch_log_group",
        "AWS::KMS::Key": "aws_kms_key",
    }
    for theirs, ours in kinds.items():
        left = [name for name, one in template["Resources"].items() if one["Type"] == theirs]
        right = [name for name in parts["resource"] if name.startswith(f"{ours}.")]
        same(f"how many of {theirs}", len(left), len(right))
    flat = lambda value: str(value).strip('"').replace('\\"', '"')
    for name, one in template["Resources"].items():
        found, body = one["Properties"] if "Properties" in one else {}, None
        if one["Type"] == "AWS::CloudWatch::Alarm":
            body = parts["resource"].get(f"aws_cloudwatch_metric_alarm.{snake(name.removesuffix('Alarm'))}")
            keys = {"AlarmDescription": "alarm_description", "ComparisonOperator": "comparison_operator", "EvaluationPeriods": "evaluation_periods", "TreatMissingData": "treat_missing_data", "MetricName": "metric_name", "Statistic": "statistic", "Period": "period"}
            if not isinstance(found["Threshold"], dict):
                keys["Threshold"] = "threshold"
        elif one["Type"] == "AWS::Logs::MetricFilter":
            body = parts["resource"].get(f"aws_cloudwatch_log_metric_filter.{snake(name)}")
            keys = {"FilterPattern": "pattern"}
        else:
            continue
        if body is None:
            fault(f"terraform has no {name}")
            continue
        for theirs, ours in keys.items():
            same(f"{name} {theirs}", flat(found.get(theirs)), flat(body.get(ours)))
    used = set(re.findall(r'documents\["([\w-]+)"\]', (MODULE / "iam.tf").read_text() + (MODULE / "main.tf").read_text()))
    same("policies that terraform reads and uses", sorted(used), sorted(flat(name) for name in parts["local"]["names"]))
    known = {one["Sid"] for name in used for one in statements(name)}
    for sid in re.findall(r'Sid == "(\w+)"|\["(\w+)", "(\w+)"\], one\.Sid', (MODULE / "iam.tf").read_text()):
        for name in filter(None, sid):
            if name not in known:
                fault(f"terraform asks for the statement {name}, which no policy has")
    if re.search(r'"\w+:[A-Z]\w+"', (MODULE / "iam.tf").read_text()):
        fault("terraform: iam.tf has an action of its own")
    names = set().union(*(environment(stack) for stack in stacks(template)))
    same("variables of the task", sorted(names), sorted(set(re.findall(r"\bBEDROCK_TAP__\w+", (MODULE / "service.tf").read_text()))))


# --- Pages and source ---


def check_pages(template):
    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    sections = dict(re.findall(r"^### (\w+Alarm)\n(.*?)(?=^##|\Z)", runbook, re.M | re.S))
    alarms = {name for name, one in template["Resources"].items() if one["Type"] == "AWS::CloudWatch::Alarm"}
    same("alarms with a section in the runbook", sorted(alarms), sorted(sections))
    for name, text in sections.items():
        for part in ("**What it means.**", "**What to do.**"):
            if part not in text:
                fault(f"RUNBOOK.md does not say {part} of {name}")
    source = "".join(path.read_text() for path in (DEPLOY.parent / "src").rglob("*.rs"))
    for name, one in template["Resources"].items():
        if one["Type"] == "AWS::Logs::MetricFilter":
            for words in re.findall(r'"([^"]+)"', one["Properties"]["FilterPattern"]):
                words = words.strip("*")
                if words not in ("ERROR", "bedrock_tap") and words not in source:
                    fault(f"{name} looks for {words!r}, which the program does not say")
    keys = {name: [(one["AttributeName"], one["KeyType"]) for one in template["Resources"][name]["Properties"]["KeySchema"]] for name in ("LeaseTable", "DetectionTable")}
    for name, attribute in [("LeaseTable", "leaseKey"), ("DetectionTable", "book"), ("DetectionTable", "part")]:
        if attribute not in dict(keys[name]) or f'"{attribute}"' not in source:
            fault(f"{name} is not of the key that the program makes")


def check_by_hand():
    """The page's placeholders are those of the files, and the task by hand is the task of the stack."""
    page = (DEPLOY / "README.md").read_text()
    files = [*(DEPLOY / "iam").glob("*.json"), *(DEPLOY / "ecs").glob("*.json")]
    used = set(re.findall(r"@([A-Z_]+)@", "".join(path.read_text() for path in files)))
    same("placeholders that the page explains", sorted(set(re.findall(r"@([A-Z_]+)@", page))), sorted(used))
    filled = re.search(r"for name in ([A-Z_\s\\]+); do", page)[1].replace("\\", " ").split()
    same("placeholders that `fill` replaces", sorted(filled), sorted(used))
    for path in (DEPLOY / "iam").glob("*.json"):
        is_named = any(path.match(name) for name in re.findall(r"`(iam/[\w*-]+\.json)`", page))
        if not is_named and f"`{path.name.removesuffix('-policy.json')}` |" not in page:
            fault(f"README.md does not speak of {path.name}")
    stack = container(Stack(yaml.load(TEMPLATE.read_text(), Loader), {}))
    lower = lambda value: {key[0].lower() + key[1:]: lower(one) for key, one in value.items()} if isinstance(value, dict) else value
    for path in (DEPLOY / "ecs").glob("*.json"):
        (task,) = json.loads(path.read_text())["containerDefinitions"]
        for key in ("User", "ReadonlyRootFilesystem", "LinuxParameters", "StopTimeout", "HealthCheck"):
            same(f"{path.name} {key}", task[key[0].lower() + key[1:]], lower(stack[key]))
        given = {one["name"]: one["value"] for one in task["environment"]}
        for name in ("BEDROCK_TAP__DRAIN_TIMEOUT", "BEDROCK_TAP__HTTP__LISTEN"):
            same(f"{path.name} {name}", given.get(name), environment_of(stack)[name])


def main():
    template = yaml.load(TEMPLATE.read_text(), Loader)
    if "--environments" in sys.argv[1:]:
        for line in sorted({json.dumps(environment(stack), sort_keys=True) for stack in stacks(template)}):
            print(line)
        return 0
    lint()
    for stack in stacks(template):
        check_policies(stack)
        check_task(stack)
    parts = module()
    check_module(parts)
    check_alike(template, parts)
    check_pages(template)
    check_by_hand()
    for text in dict.fromkeys(faults):
        print(f"error: {text}", file=sys.stderr)
    print(f"{len(set(faults))} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
