#include "coordinator/chat/builtin_template.h"

namespace deeprack::coordinator {

const std::string_view kBuiltinR1Template = R"jinja(
{%- set ns = namespace(system='', after_tool=false) -%}
{%- for message in messages if message.role == 'system' -%}
    {%- set ns.system = ns.system + ('' if loop.first else '\n\n') + message.content -%}
{%- endfor -%}
{%- if tools -%}
    {%- set ns.system = ns.system + ('\n\n' if ns.system else '')
        + '## Tools\n\nYou may call these functions. To call one, write a tool call: the function\'s name, then its '
          'arguments as a JSON object that fits the function\'s parameters.\n' -%}
    {%- for tool in tools -%}
        {%- set ns.system = ns.system + '\n```json\n' + (tool.function | tojson(separators=(',', ':'))) + '\n```\n' -%}
    {%- endfor -%}
{%- endif -%}
{{- bos_token + ns.system -}}
{%- for message in messages -%}
    {%- if message.role == 'tool' -%}
        {{- output_separator if ns.after_tool else '<｜tool▁outputs▁begin｜>' -}}
        {{- '<｜tool▁output▁begin｜>' + message.content + '<｜tool▁output▁end｜>' -}}
        {%- set ns.after_tool = true -%}
    {%- elif message.role == 'user' -%}
        {{- '<｜tool▁outputs▁end｜>' if ns.after_tool -}}
        {%- set ns.after_tool = false -%}
        {{- '<｜User｜>' + message.content -}}
    {%- elif message.role == 'assistant' -%}
        {{- '<｜tool▁outputs▁end｜>' if ns.after_tool else '<｜Assistant｜>' -}}
        {%- set ns.after_tool = false -%}
        {{- (message.content or '').split('</think>')[-1] -}}
        {%- for call in message.tool_calls -%}
            {{- '<｜tool▁calls▁begin｜>' if loop.first else '\n' -}}
            {{- '<｜tool▁call▁begin｜>' + call.type + '<｜tool▁sep｜>' + call.function.name -}}
            {{- '\n```json\n' + call.function.arguments + '\n```<｜tool▁call▁end｜>' -}}
            {{- '<｜tool▁calls▁end｜>' if loop.last -}}
        {%- endfor -%}
        {{- '<｜end▁of▁sentence｜>' -}}
    {%- endif -%}
{%- endfor -%}
{%- if ns.after_tool -%}
    {{- '<｜tool▁outputs▁end｜>' -}}
{%- elif add_generation_prompt -%}
    {{- '<｜Assistant｜>' + think_opening -}}
{%- endif -%}
)jinja";

}  // namespace deeprack::coordinator
