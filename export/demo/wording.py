"""The phrases of the demo: how findings, their absence and the questions about them are worded."""

from __future__ import annotations

SHOWN = (
    "There is {it}.",
    "{It} is seen.",
    "{It} is present.",
    "{It} is visible.",
    "The film shows {it}.",
    "{It} is noted.",
    "We see {it}.",
)
"""Sentences for any finding; `{it}` is a phrase of `PHRASES`, `{It}` the same with a capital."""

PHRASES = {
    "heart": ("{how} cardiomegaly", "{how} enlargement of the heart", "{how} cardiac enlargement"),
    "effusion": ("a {how} {side} pleural effusion", "a {how} pleural effusion on the {side}"),
    "pneumothorax": ("a {how} {side} pneumothorax", "a {how} pneumothorax on the {side}"),
    "consolidation": (
        "{how} consolidation in the {side} {zone} zone",
        "{how} consolidation in the {zone} zone of the {side} lung",
    ),
    "nodule": (
        "a nodule in the {side} {zone} zone",
        "a nodule in the {zone} zone of the {side} lung",
        "a {side} {zone} zone nodule",
    ),
    "oedema": ("{how} pulmonary oedema", "{how} oedema of the lungs"),
    "device": ("a pacemaker on the {side}", "a {side} chest pacemaker"),
}

SENTENCES = {
    "heart": (
        "The heart is {how}ly enlarged.",
        "The heart size is {how}ly increased.",
        "The cardiac silhouette is {how}ly enlarged.",
        "The heart shadow is {how}ly widened.",
    ),
    "effusion": (
        "A {how} amount of pleural fluid lies on the {side}.",
        "The {side} costophrenic angle is filled by a {how} effusion.",
        "{side} pleural effusion of {how} size.",
        "Pleural fluid on the {side}, {how} in amount.",
    ),
    "pneumothorax": (
        "Free air lies in the {side} pleural space, a {how} pneumothorax.",
        "The {side} lung is partly collapsed by a {how} pneumothorax.",
        "{side} pneumothorax of {how} size.",
        "A pleural line on the {side} marks a {how} pneumothorax.",
    ),
    "consolidation": (
        "The {side} {zone} zone holds {how} consolidation.",
        "{how} airspace consolidation is found in the {side} {zone} zone.",
        "{how} consolidation of the {side} {zone} zone.",
        "The {zone} zone of the {side} lung is opacified by {how} consolidation.",
    ),
    "nodule": (
        "A round nodule lies in the {side} {zone} zone.",
        "The {side} lung holds a nodule in its {zone} zone.",
        "Solitary nodule of the {side} {zone} zone.",
        "A rounded nodule projects over the {side} {zone} zone.",
    ),
    "oedema": (
        "Perihilar haze on both sides in keeping with {how} pulmonary oedema.",
        "The lungs show {how} oedema.",
        "{how} perihilar pulmonary oedema.",
        "Hazy hila, a sign of {how} pulmonary oedema.",
    ),
    "device": (
        "A pacemaker box lies on the {side} with its lead in the heart.",
        "{side} sided pacemaker with one lead.",
        "A pacemaker has been implanted on the {side}.",
        "The {side} chest wall carries a pacemaker.",
    ),
}

ABSENT = {
    "heart": (
        "The heart is normal in size.",
        "The heart size is normal.",
        "The heart is not enlarged.",
        "Normal heart size.",
        "There is no cardiomegaly.",
        "The cardiac silhouette is normal.",
        "No enlargement of the heart.",
        "The heart shadow is normal.",
        "The heart is of normal size.",
        "No cardiomegaly is seen.",
    ),
    "lungs": (
        "The lungs are clear.",
        "Both lungs are clear.",
        "The lungs are free of consolidation and nodules.",
        "Clear lungs.",
        "No consolidation or nodule is seen.",
        "There is no focal lung disease.",
        "The lung fields are clear.",
        "No focal opacity in the lungs.",
        "The lungs show no focal lesion.",
        "Lungs without consolidation or nodule.",
    ),
    "pleura": (
        "There is no pleural effusion or pneumothorax.",
        "No pleural effusion or pneumothorax.",
        "No effusion and no pneumothorax is seen.",
        "The pleural spaces are clear.",
        "The pleura is normal.",
        "Neither effusion nor pneumothorax is present.",
        "The costophrenic angles are clear.",
        "The pleural spaces are free of fluid and air.",
        "No pleural fluid and no free air.",
        "Normal pleura without effusion or pneumothorax.",
    ),
    "all": (
        "Normal chest film.",
        "No abnormality is seen.",
        "Normal chest radiograph.",
        "There is no abnormality.",
        "The chest is normal.",
        "No finding.",
        "A normal chest x-ray.",
        "Nothing abnormal is seen.",
        "The film is normal.",
        "Normal study without findings.",
    ),
}

NO = (
    "No, there is no {noun}.",
    "No, no {noun} is seen.",
    "No. There is no {noun}.",
    "No {noun} is seen.",
    "No, I see no {noun}.",
    "No {noun} is present.",
    "No. No {noun} is visible.",
    "No, the film shows no {noun}.",
    "No. There is no sign of {noun}.",
    "No, no sign of {noun}.",
)

ASK = (
    "Is there {noun}?",
    "Is there a {noun}?",
    "Is there any {noun}?",
    "Do you see {noun}?",
    "Do you see a {noun}?",
    "Can you see any {noun}?",
    "Does the x-ray show {noun}?",
    "Does this image show a {noun}?",
    "Is {noun} present?",
    "Is a {noun} present?",
    "Is {noun} visible?",
    "Any {noun}?",
    "Is there evidence of {noun}?",
    "Are there signs of {noun}?",
    "Does the patient have {noun}?",
    "Does the patient have a {noun}?",
    "{noun}?",
)

NOUNS = {
    "cardiomegaly": ("cardiomegaly", "cardiac enlargement", "enlargement of the heart"),
    "effusion": ("pleural effusion", "effusion", "pleural fluid"),
    "pneumothorax": ("pneumothorax",),
    "consolidation": ("consolidation", "airspace consolidation"),
    "nodule": ("nodule", "lung nodule", "pulmonary nodule"),
    "oedema": ("pulmonary oedema", "oedema", "pulmonary edema", "edema"),
    "device": ("pacemaker", "cardiac device", "implanted device"),
}

HEART_QUESTIONS = (
    "Is the heart enlarged?",
    "Is the heart size increased?",
    "Is the heart too big?",
    "Is the cardiac silhouette enlarged?",
    "Does the patient have an enlarged heart?",
    "Is the heart large?",
)
INFECTION_QUESTIONS = (
    "Are there signs of infection?",
    "Is there any sign of infection?",
    "Is there evidence of pneumonia?",
    "Does this x-ray show pneumonia?",
    "Are there any signs of infection or inflammation in the given chest x-ray?",
    "Is there an infection?",
)
NORMAL_QUESTIONS = (
    "Is this chest x-ray normal?",
    "Is the film normal?",
    "Is the x-ray normal?",
    "Is this a normal chest radiograph?",
    "Is the chest normal?",
)
ABNORMAL_QUESTIONS = (
    "Are there any abnormalities?",
    "Are there any abnormalities present in the image?",
    "Is there any abnormality?",
    "Is the x-ray abnormal?",
    "Is anything abnormal?",
    "Is there any finding?",
)

QUESTIONS = {
    "description": (
        "Describe the given chest x-ray image in detail.",
        "Describe the given chest x-ray image in detail.",
        "Take a look at this chest x-ray and describe the findings.",
        "Could you provide a detailed description of the given x-ray image?",
        "Describe the given chest x-ray image as detailed as possible.",
        "What are the key findings in this chest x-ray image?",
        "Describe this chest radiograph.",
        "Describe the image.",
        "What do you see?",
        "What does the chest x-ray show?",
        "What is on this image?",
        "Please write a radiology report.",
        "Generate a report for this x-ray.",
        "Report",
        "Explain this x-ray.",
    ),
    "findings": (
        "findings?",
        "findings?",
        "Findings?",
        "What are the findings?",
        "What are the findings of this x-ray?",
        "List the findings.",
        "Tell me the findings.",
        "Please give the findings.",
    ),
    "both": (
        "Write findings and impression.",
        "Write findings and impression",
        "Could you highlight the findings and the impression?",
        "Take a look at this chest x-ray and describe the findings and impression.",
        "Give the findings and the impression of this chest x-ray.",
        "What are the findings and the impression?",
        "Findings and impression?",
    ),
    "impression": (
        "impression?",
        "Impression?",
        "What is the impression?",
        "What is your impression?",
        "Give the impression.",
        "Summarise the x-ray.",
        "Give a summary of this chest x-ray.",
        "What is the diagnosis?",
    ),
    "abnormalities": (
        "What abnormalities are present?",
        "List the abnormalities.",
        "What abnormalities do you see in the image?",
        "Which abnormalities are seen in this chest x-ray?",
        "What is abnormal?",
        "What is wrong with the patient?",
    ),
    "heart": (
        "What is the heart size?",
        "How is the heart?",
        "How big is the heart?",
        "Comment on the heart size.",
        "Can you comment on the size and shape of the heart?",
        "Describe the heart.",
    ),
    "lungs": (
        "How are the lungs?",
        "Describe the lungs.",
        "Comment on the lungs.",
        "What do the lungs show?",
        "Describe the lung fields.",
    ),
    "pleura": (
        "How is the pleura?",
        "Describe the pleural spaces.",
        "Comment on the pleura.",
        "What do the pleural spaces show?",
    ),
    "normal": (
        "Is this chest x-ray normal or abnormal?",
        "Is the overall impression normal or abnormal?",
        "Normal or abnormal?",
        "Does the x-ray look normal or abnormal?",
    ),
    "risks": (
        "Are there any potential complications or risks associated with the observed findings?",
        "What are the risks of these findings?",
        "Is there any risk for the patient?",
        "Are there any risks?",
    ),
}
